"""What cannot be reached by a call of the command: time limits, and how files are read."""
