"""The header of a GGUF file: metadata, tensor sizes, and whether the file is whole.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian)
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmserve.errors import LlmserveError
from llmserve.models.headers import ggml, table
from llmserve.models.headers.blob import Blob, Cursor, Ended, broken, cut_short
from llmserve.models.headers.table import Table, Tensor

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_ARRAY = 4096  # per-layer figures are shorter, vocabularies longer
_MAX_TEXT = 64 * 1024 * 1024
_MAX_DIMENSIONS = 4
_SMALLEST_ENTRY = 12  # bytes of a metadata pair or a tensor's description, whatever it is


@dataclass(frozen=True)
class Header:
    """``metadata`` holds scalars, texts and short arrays; ``lengths`` the number of items of every array.

    ``table`` has the rows of a matrix first, unlike the file.
    """

    metadata: Mapping[str, Any]
    lengths: Mapping[str, int]
    tensors: int
    bytes_by_type: Mapping[str, int]
    table: Table = field(default_factory=dict, compare=False, repr=False)

    @property
    def data_bytes(self) -> int:
        """Size of all tensors, without the padding between them."""
        return sum(self.bytes_by_type.values())


def read_header(blob: Blob) -> Header:
    """Read and check a header; reads no further than its end.

    Raises:
        LlmserveError: ``broken_checkpoint``: truncated, damaged, or not GGUF; ``unsupported_gguf``: another version.
    """
    try:
        return _Reader(blob).header()
    except Ended as end:
        raise cut_short(blob, end.missing) from end


def joined(headers: Sequence[Header], names: Sequence[str]) -> Header:
    """One header out of those of the parts of a split model; ``names`` are for messages.

    Raises:
        LlmserveError: ``broken_checkpoint``: two parts hold the same tensor.
    """
    if len(headers) == 1:
        return headers[0]
    whole = table.joined({name: header.table for name, header in zip(names, headers, strict=True)}, names[0])
    return replace(headers[0], tensors=len(whole), bytes_by_type=_by_type(whole), table=whole)


def _by_type(tensors: Table) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.size_bytes
    return dict(sizes)


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


class _Reader:
    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.cursor = Cursor(blob)
        self.lengths: dict[str, int] = {}

    def header(self) -> Header:
        if self.cursor.take(4) != b"GGUF":
            raise broken(self.blob.name, "is not a GGUF file: it does not start with GGUF")
        self._version()
        tensors, pairs = self._count(), self._count()
        metadata = dict(self._pair() for _ in range(pairs))
        infos = [self._tensor() for _ in range(tensors)]
        found = self._table(infos, metadata.get("general.alignment", 32))
        return Header(metadata, self.lengths, tensors, _by_type(found), found)

    def _version(self) -> None:
        version = self._scalar("I")
        if version in (2, 3):
            return
        what = "is big endian" if version in (2 << 24, 3 << 24) else f"has GGUF version {version}"
        raise LlmserveError(
            f"{self.blob.name} {what}; llmserve reads little-endian versions 2 and 3.",
            hint="Convert it again with a current llama.cpp, or take another file.",
            code="unsupported_gguf",
        )

    def _scalar(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self.cursor.take(struct.calcsize("<" + kind)))[0]

    def _count(self) -> int:
        """A number of entries that the rest of the file could hold."""
        count: int = self._scalar("Q")
        if count > 2**40:
            raise self._damaged("a count makes no sense")
        if count * _SMALLEST_ENTRY > self.cursor.left:
            raise Ended(count * _SMALLEST_ENTRY - self.cursor.left)
        return count

    def _text(self) -> str:
        length: int = self._scalar("Q")
        if length > _MAX_TEXT:
            raise self._damaged("a text in it has an impossible length")
        return self.cursor.take(length).decode("utf-8", "replace")

    def _pair(self) -> tuple[str, Any]:
        key, kind = self._text(), self._scalar("I")
        return key, self._array(key) if kind == _ARRAY else self._value(kind)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind not in _SCALARS:
            raise self._damaged(f"it has a value of the unknown type {kind}")
        return self._scalar(_SCALARS[kind])

    def _array(self, key: str) -> tuple[Any, ...]:
        kind, length = self._scalar("I"), self._scalar("Q")
        self.lengths[key] = length
        if kind == _STRING:
            self._skip_texts(length)
        elif kind not in _SCALARS:
            raise self._damaged(f"it has an array of the unknown type {kind}")
        elif length <= _KEPT_ARRAY:
            return tuple(self._value(kind) for _ in range(length))
        else:
            self.cursor.skip(length * struct.calcsize("<" + _SCALARS[kind]))
        return ()

    def _skip_texts(self, count: int) -> None:
        """Step over texts without decoding them: vocabularies have hundreds of thousands."""
        cursor, size = self.cursor, self.blob.size
        if count * 8 > cursor.left:
            raise Ended(count * 8 - cursor.left)
        unpack = struct.Struct("<Q").unpack_from
        at = cursor.position - cursor.start
        for _ in range(count):
            if at + 8 > len(cursor.buffer):
                cursor.position = cursor.start + at
                at = cursor.need(8)
            at += 8 + unpack(cursor.buffer, at)[0]
        cursor.position = cursor.start + at
        if cursor.position > size:
            raise Ended(cursor.position - size)

    def _tensor(self) -> _Tensor:
        name, dimensions = self._text(), self._scalar("I")
        if dimensions > _MAX_DIMENSIONS:
            raise self._damaged(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._scalar("Q") for _ in range(dimensions))
        return _Tensor(name, shape, self._scalar("I"), self._scalar("Q"))

    def _table(self, tensors: list[_Tensor], alignment: Any) -> dict[str, Tensor]:
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self._damaged("its alignment makes no sense")
        start = -(-self.cursor.position // alignment) * alignment
        found: dict[str, Tensor] = {}
        position = 0
        for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
            if tensor.offset < position or tensor.offset % alignment:
                raise self._damaged(f"tensor {tensor.name!r} overlaps the one before it")
            if tensor.name in found:
                raise self._damaged(f"it has tensor {tensor.name!r} twice")
            found[tensor.name] = self._described(tensor)
            position = tensor.offset + found[tensor.name].size_bytes
        self._check_end(start + position if tensors else self.cursor.position)
        return found

    def _described(self, tensor: _Tensor) -> Tensor:
        kind = ggml.TYPES.get(tensor.type)
        if kind is None:
            raise LlmserveError(
                f"{self.blob.name} has tensors of type {tensor.type}, which this llmserve does not know.",
                hint="Update llmserve, or take a file with another quantisation.",
                code="unsupported_gguf",
            )
        if not tensor.shape or tensor.shape[0] % kind.block:
            raise self._damaged(f"the shape of tensor {tensor.name!r} makes no sense")
        return Tensor(kind.name, math.prod(tensor.shape) // kind.block * kind.size, tensor.shape[::-1])

    def _check_end(self, expected: int) -> None:
        missing = expected - self.blob.size
        if missing > 0:
            text = f"is incomplete: {missing:,} of {expected:,} bytes are missing"
            raise broken(self.blob.name, text, missing_bytes=missing)

    def _damaged(self, what: str) -> LlmserveError:
        return broken(self.blob.name, f"has a damaged header: {what}")
