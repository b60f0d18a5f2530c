"""What a model's own description says about its shape: ``config.json``, or the metadata of a GGUF file."""

from __future__ import annotations

from llmserve.models.architecture.config import from_config
from llmserve.models.architecture.gguf_metadata import from_gguf
from llmserve.models.architecture.shape import Architecture

__all__ = ["Architecture", "from_config", "from_gguf"]
