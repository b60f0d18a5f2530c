"""Exact integers to the number formats of weight files."""

from __future__ import annotations

import struct
from collections.abc import Callable

from llmserve.models.builtin.weights import Tensor

Encoder = Callable[[Tensor], bytes]


def bfloat16(tensor: Tensor) -> bytes:
    """Upper halves of float32: nothing is lost, since no weight has more than eight significant bits."""
    return _encoded(tensor, lambda value: struct.pack("<f", value)[2:])


def float16(tensor: Tensor) -> bytes:
    return _encoded(tensor, lambda value: struct.pack("<e", value))


def float32(tensor: Tensor) -> bytes:
    return _encoded(tensor, lambda value: struct.pack("<f", value))


def _encoded(tensor: Tensor, one: Callable[[float], bytes]) -> bytes:
    table = {value: one(value * 2.0**tensor.exponent) for value in set(tensor.values)}
    return b"".join([table[value] for value in tensor.values])
