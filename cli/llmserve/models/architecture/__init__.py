"""What a model's own description says about its shape: ``config.json``, or the metadata of a GGUF file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmserve.models.architecture.config import from_config
from llmserve.models.architecture.shape import Architecture

if TYPE_CHECKING:
    from llmserve.models.headers.gguf import Header


def from_gguf(header: Header, where: str) -> Architecture:
    """See :func:`llmserve.models.architecture.gguf_metadata.from_gguf`, which most plans need not import."""
    from llmserve.models.architecture import gguf_metadata

    return gguf_metadata.from_gguf(header, where)


__all__ = ["Architecture", "from_config", "from_gguf"]
