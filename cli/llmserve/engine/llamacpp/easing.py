"""What llama.cpp is given less of, when memory was missing at its start."""

from __future__ import annotations

from llmserve.engine.ease import Rule, halved

RULES = tuple(Rule(code, "--ctx-size", halved(512)) for code in ("out_of_memory", "host_out_of_memory"))
