"""What llama.cpp is given less of, when memory was missing at its start."""

from __future__ import annotations

from llmserve.engine.ease import Rule, halved

RULES = (Rule("out_of_memory", "--ctx-size", halved(512)),)
