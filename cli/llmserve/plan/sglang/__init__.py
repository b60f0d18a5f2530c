"""Plans for SGLang on GPUs: its memory model, worked out for one arrangement at a time."""
