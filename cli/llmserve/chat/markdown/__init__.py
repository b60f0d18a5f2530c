"""Markdown on a terminal, line by line as it comes: a finished line is final, the open one may still change."""
