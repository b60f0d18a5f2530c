"""Watching servers at work: what their metrics and their GPUs say, now and over the last minute."""
