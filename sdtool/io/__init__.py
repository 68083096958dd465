"""The formats that stages hand each other, each read and written in one file, and the stage record."""
