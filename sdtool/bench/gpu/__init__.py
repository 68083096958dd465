"""`make gpu-check`: does everything work on this GPU, how fast, and in how much memory?"""
