"""Weights computed from a configuration alone, where no headers are at hand."""

from __future__ import annotations

from llmserve.models.parameters.count import modules, tensor_groups

__all__ = ["modules", "tensor_groups"]
