"""Headers of weight files: what they hold, read without the weights."""
