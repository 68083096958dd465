"""What `sdtool doctor` asks: does each part work here, and on what machine is this?"""
