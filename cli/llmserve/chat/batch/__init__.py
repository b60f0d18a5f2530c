"""Many requests from a file, one a line, and their answers in the same order."""
