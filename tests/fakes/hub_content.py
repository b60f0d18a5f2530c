"""What a fake hub serves: files in memory, and files that are almost nothing but their size."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

_LARGE = (".safetensors", ".gguf", ".bin")
_ZEROS = 4 * 1024**2


@dataclass(frozen=True)
class Hollow:
    """A file of ``size`` bytes that is nothing but zeros after its ``start``: weights that nobody has to store.

    Its hash is that of its start alone, as terabytes of zeros take long, unless it is to be ``hashed``.
    """

    start: bytes
    size: int
    hashed: bool = False

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        first, end, _ = part.indices(self.size)
        content = self.start[first:end]
        return content + bytes(max(0, end - first) - len(content))


Content = bytes | Hollow


@dataclass
class Repo:
    """``files`` by name. ``readers`` are the tokens that may read a gated repository (None: everybody may).

    ``card`` is the metadata of the model's card. ``listed`` are further entries of the listing, word for word: files
    that do not exist, with whatever names and sizes a hostile hub may think of.
    """

    files: Mapping[str, Content]
    revisions: dict[str, str] = field(default_factory=dict)
    readers: set[str] | None = None
    private: bool = False
    card: dict[str, Any] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(
            b"".join(
                name.encode(errors="surrogatepass") + _start(content) for name, content in sorted(self.files.items())
            )
        )
        self.revisions.setdefault("main", digest.hexdigest())

    @property
    def commit(self) -> str:
        return self.revisions["main"]

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))

    @cached_property
    def about(self) -> dict[str, dict[str, Any]]:
        return {name: _about(name, content) for name, content in self.files.items()}

    @cached_property
    def large(self) -> dict[str, Content]:
        """The files that come from another origin, by the hash of their content."""
        return {self.about[name]["lfs"]["oid"]: self.files[name] for name in self.files if "lfs" in self.about[name]}

    @property
    def siblings(self) -> list[dict[str, Any]]:
        """Its files as the hub's model information lists them."""
        return [*(_sibling(name, about) for name, about in self.about.items()), *self.listed]

    @property
    def tree(self) -> list[dict[str, Any]]:
        extra = [{"type": "file", "path": item["rfilename"], "oid": "0" * 40, "size": 1} | item for item in self.listed]
        return [*({"type": "file", "path": path} | about for path, about in self.about.items()), *extra]


def folder(path: Path) -> dict[str, Content]:
    """The files of a folder, as ``Repo`` takes them."""
    return {item.relative_to(path).as_posix(): item.read_bytes() for item in path.rglob("*") if item.is_file()}


def pieces(content: Content, first: int, end: int, most: int) -> Iterator[memoryview | int]:
    """Bytes ``first`` to ``end`` in pieces of at most ``most``: memory, or a number of zeros."""
    solid = content if isinstance(content, bytes) else content.start
    view = memoryview(solid)
    while first < end:
        stop = min(end, first + most)
        if first < len(solid):
            stop = min(stop, len(solid))
            yield view[first:stop]
        else:
            stop = min(stop, first + _ZEROS)
            yield stop - first
        first = stop


@functools.cache
def zeros() -> int:
    """A file of nothing but zeros, for ``sendfile``: no byte of it is copied into this process."""
    handle = os.memfd_create("zeros") if hasattr(os, "memfd_create") else os.open("/dev/zero", os.O_RDONLY)
    os.write(handle, bytes(_ZEROS))
    return handle


def _sibling(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    sibling = {"rfilename": name, "size": about["size"], "blobId": about["oid"]}
    if "lfs" in about:
        sibling["lfs"] = {"sha256": about["lfs"]["oid"], "size": about["size"], "pointerSize": 134}
    return sibling


def _about(name: str, content: Content) -> dict[str, Any]:
    """What the hub's tree says of a file: git's hash, and for large files that of the content."""
    pointer = hashlib.sha1(b"blob %d\0" % len(content) + _start(content)).hexdigest()
    about: dict[str, Any] = {"oid": pointer, "size": len(content)}
    if name.endswith(_LARGE):
        about["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
    return about


def _sha256(content: Content) -> str:
    digest = hashlib.sha256(_start(content))
    if isinstance(content, Hollow) and content.hashed:
        rest, block = content.size - len(content.start), bytes(_ZEROS)
        while rest > 0:
            digest.update(memoryview(block)[: min(rest, _ZEROS)])
            rest -= _ZEROS
    return digest.hexdigest()


def _start(content: Content) -> bytes:
    """What a file's hash is made from: hollow ones are known by their start."""
    return content if isinstance(content, bytes) else content.start
