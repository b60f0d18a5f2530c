"""The header of a safetensors file: what it holds, and whether the file is whole.

Format: 8 bytes header length (little endian), that many bytes of JSON, then the tensors without gaps.
https://huggingface.co/docs/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmserve.errors import LlmserveError
from llmserve.models.headers.blob import FIRST_PIECE, Blob, broken, cut_short
from llmserve.models.headers.table import Table, Tensor

MAX_HEADER = 100_000_000  # the reference reader's own limit

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """``bytes_by_dtype`` adds up to the size of the file without its header, and so do the tensors of ``table``."""

    tensors: int
    bytes_by_dtype: Mapping[str, int]
    table: Table = field(default_factory=dict, compare=False, repr=False)

    @property
    def data_bytes(self) -> int:
        return sum(self.bytes_by_dtype.values())


def read_header(blob: Blob) -> Header:
    """Read and check a header.

    Raises:
        LlmserveError: ``broken_checkpoint``: the file is truncated, too long, or not safetensors at all.
    """
    return parse(blob, read(blob))


def read(blob: Blob, first: int = FIRST_PIECE) -> bytes:
    """The header's JSON: one read of ``first`` bytes, and another one only if it is longer.

    Raises:
        LlmserveError: as ``read_header`` does.
    """
    start = blob.read(0, first)
    if len(start) < 8:
        raise cut_short(blob, 8 - len(start))
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= MAX_HEADER:
        raise broken(blob.name, "is not a safetensors file: its header length makes no sense")
    text = start[8 : 8 + length]
    if len(text) < length <= blob.size - 8:
        text += blob.read(len(start), length - len(text))
    if len(text) < length:
        raise cut_short(blob, length - len(text))
    return text


def parse(blob: Blob, text: bytes) -> Header:
    """Check the header ``text`` of a file, and the file's size.

    Raises:
        LlmserveError: as ``read_header`` does.
    """
    header = _check(blob, _load(blob, text))
    _check_size(blob, 8 + len(text) + header.data_bytes)
    return header


def _load(blob: Blob, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise broken(blob.name, "has a damaged header: it is not JSON") from error
    if not isinstance(content, dict):
        raise broken(blob.name, "has a damaged header: it is not a JSON object")
    content.pop("__metadata__", None)
    return content


def _check(blob: Blob, content: dict[str, Any]) -> Header:
    sizes: Counter[str] = Counter()
    table: dict[str, Tensor] = {}
    known: dict[tuple[Any, ...], int] = {}
    position = 0
    for begin, end, name, kind, shape in _spans(blob, content):
        if begin != position:
            raise broken(blob.name, f"has a damaged header: the data of {name!r} does not follow the tensor before it")
        size, dtype = end - begin, kind[0]
        if known.get(kind) != size:  # most tensors are like one before
            if not _fits(dtype, shape, size):
                raise _senseless(blob, name)
            known[kind] = size
        sizes[dtype] += size
        table[name] = Tensor(dtype, size, shape)
        position = end
    return Header(len(table), dict(sizes), table)


def _spans(blob: Blob, content: dict[str, Any]) -> list[tuple[int, int, str, tuple[Any, ...], Any]]:
    """Begin, end, name, kind (dtype and shape as one key) and shape of every tensor, in the order of the file."""
    spans = []
    for name, entry in content.items():
        try:
            begin, end = entry["data_offsets"]
            shape = entry["shape"]
            kind = (entry["dtype"], *shape)
            hash(kind)
            right = type(begin) is int and type(end) is int
            spans.append((begin, end, name, kind, shape))
        except (TypeError, KeyError, ValueError):
            right = False
        if not right:
            raise _senseless(blob, name)
    spans.sort()
    return spans


def _fits(dtype: Any, shape: Any, size: int) -> bool:
    if type(dtype) is not str or type(shape) is not list or size < 0:
        return False
    if not all(type(number) is int and number >= 0 for number in shape):
        return False
    bits = DTYPE_BITS.get(dtype)
    return bits is None or math.prod(shape) * bits == size * 8


def _senseless(blob: Blob, name: str) -> LlmserveError:
    return broken(blob.name, f"has a damaged header: the entry of {name!r} makes no sense")


def _check_size(blob: Blob, expected: int) -> None:
    if blob.size < expected:
        missing = expected - blob.size
        raise broken(blob.name, f"is incomplete: {missing:,} of {expected:,} bytes are missing", missing_bytes=missing)
    if blob.size > expected:
        raise broken(blob.name, f"is {blob.size - expected:,} bytes longer than its header says")
