"""Next steps that several failures share."""

from __future__ import annotations

FLAGS = "Check the words after `--`: SGLang reads them as they are."
SMALLER = "Ask for less with --context or --concurrency, or choose a smaller or quantised model."
FETCH = "Fetch the model again: its copy on this disk is not complete."
OTHER_MODEL = "Try a newer engine (`llmserve engine install sglang`) or another model."
LOG = "`llmserve logs` shows all that it printed."
REPAIR = "Build the environment anew: `llmserve engine install sglang --force`."
