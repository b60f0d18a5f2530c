"""The header of a safetensors file: what it holds, and whether the file is whole.

Format: 8 bytes header length (little endian), that many bytes of JSON, then the tensors without gaps.
https://huggingface.co/docs/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmserve.models.blob import Blob, Cursor, Ended, broken, cut_short

MAX_HEADER = 100_000_000  # the reference reader's own limit

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """``bytes_by_dtype`` adds up to the size of the file without its header."""

    tensors: int
    bytes_by_dtype: Mapping[str, int]

    @property
    def data_bytes(self) -> int:
        return sum(self.bytes_by_dtype.values())


def read_header(blob: Blob) -> Header:
    """Read and check a header.

    Raises:
        LlmserveError: ``broken_checkpoint``: the file is truncated, too long, or not safetensors at all.
    """
    try:
        cursor = Cursor(blob)
        length = int.from_bytes(cursor.take(8), "little")
        if not 2 <= length <= MAX_HEADER:
            raise broken(blob.name, "is not a safetensors file: its header length makes no sense")
        text = cursor.take(length)
    except Ended as end:
        raise cut_short(blob, end.missing) from end
    header = _check(blob, _parse(blob, text))
    _check_size(blob, 8 + length + header.data_bytes)
    return header


def _parse(blob: Blob, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise broken(blob.name, "has a damaged header: it is not JSON") from error
    if not isinstance(content, dict):
        raise broken(blob.name, "has a damaged header: it is not a JSON object")
    return content


def _check(blob: Blob, content: dict[str, Any]) -> Header:
    spans = [(name, *_entry(blob, name, entry)) for name, entry in content.items() if name != "__metadata__"]
    sizes: Counter[str] = Counter()
    position = 0
    for name, dtype, begin, end in sorted(spans, key=lambda span: span[2:]):
        if begin != position:
            raise broken(blob.name, f"has a damaged header: the data of {name!r} does not follow the tensor before it")
        sizes[dtype] += end - begin
        position = end
    return Header(len(spans), dict(sizes))


def _entry(blob: Blob, name: str, entry: Any) -> tuple[str, int, int]:
    """dtype, begin and end of one tensor."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
        bits = DTYPE_BITS.get(dtype)
        right = whole and begin <= end and (bits is None or math.prod(shape) * bits == (end - begin) * 8)
    except (TypeError, KeyError, ValueError):
        right = False
    if not right:
        raise broken(blob.name, f"has a damaged header: the entry of {name!r} makes no sense")
    return dtype, begin, end


def _check_size(blob: Blob, expected: int) -> None:
    if blob.size < expected:
        missing = expected - blob.size
        raise broken(blob.name, f"is incomplete: {missing:,} of {expected:,} bytes are missing", missing_bytes=missing)
    if blob.size > expected:
        raise broken(blob.name, f"is {blob.size - expected:,} bytes longer than its header says")
