"""Just enough of HTTP/1.1: the bytes of a request, the head of a response, and where its body ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

__all__ = ["Body", "Chunked", "Counted", "Head", "MalformedError", "UntilClose", "body_of", "parse_head", "request"]

MAX_HEAD = 64 * 1024
MAX_CHUNK = 64 * 1024**2


class MalformedError(ValueError):
    """The peer does not speak HTTP/1.1 as it should; the message says where."""


@dataclass(frozen=True, slots=True)
class Head:
    """What matters of a response's head. ``length`` is None where the body is chunked or ends with the connection."""

    status: int
    length: int | None
    chunked: bool
    keep_alive: bool
    content_type: str = ""


def request(base_url: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """A whole request; POST with a body, else GET."""
    parts = urlsplit(base_url)
    lines = [f"{'GET' if body is None else 'POST'} {parts.path}{path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


@lru_cache(maxsize=8)  # most answers of a second have the same
def parse_head(raw: bytes) -> Head:
    """The head that ``raw`` holds, without its blank line.

    Raises:
        MalformedError: it is none, or its framing contradicts itself.
    """
    first, *rest = raw.split(b"\r\n")
    parts = first.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not (len(parts[1]) == 3 and parts[1].isdigit()):
        raise MalformedError("the answer does not begin with an HTTP/1.1 status line")
    fields: dict[bytes, bytes] = {}
    for line in rest:
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedError("a header line has no colon")
        fields[name.lower()] = value.strip()
    chunked = fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
    status = int(parts[1])
    return Head(
        status=status,
        length=None if chunked else _length(fields.get(b"content-length"), status),
        chunked=chunked,
        keep_alive=fields.get(b"connection", b"").lower() != b"close" and parts[0] != b"HTTP/1.0",
        content_type=fields.get(b"content-type", b"").decode("latin-1").lower(),
    )


def _length(value: bytes | None, status: int) -> int | None:
    if status in (204, 304):
        return 0
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        raise MalformedError("the Content-Length is no number")
    return int(value)


class Counted:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        if len(data) > self.left:
            raise MalformedError("more bytes came than the Content-Length announced")
        self.left -= len(data)
        self.done = not self.left
        return data


class UntilClose:
    """A body that ends with the connection."""

    done = False

    def feed(self, data: bytes) -> bytes:
        return data


class Chunked:
    """A body in chunks, cut anywhere."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._left = 0  # bytes of the chunk that is being read
        self._at = "size"

    def feed(self, data: bytes) -> bytes:
        """The content in ``data``.

        Raises:
            MalformedError: a size is no hexadecimal number, or a chunk does not end where it should.
        """
        if self._at == "size" and not self._rest:  # nearly always: one whole chunk in one read
            line = data.find(b"\r\n")
            if 0 < line < 9 and data[:line].isalnum():
                size = _size(data[:line])
                if size and len(data) == line + size + 4 and data.endswith(b"\r\n"):
                    return data[line + 2 : -2]
        return self._general(self._rest + data)

    @property
    def between(self) -> bool:
        """Whether the last byte fed was the last of a chunk."""
        return self._at == "size" and not self._rest

    def _general(self, data: bytes) -> bytes:
        content: list[bytes] = []
        at = self._whole(data, content) if self._at == "size" else 0
        while not self.done:
            step = self._step(data, at, content)
            if not step:
                break
            at += step
        self._rest = data[at:]
        if len(self._rest) > MAX_HEAD or (self.done and self._rest):
            raise MalformedError("bytes follow the end of the answer, or a chunk has no size")
        return b"".join(content)

    def _whole(self, data: bytes, content: list[bytes]) -> int:
        """Take the whole chunks that ``data`` begins with, and return their length."""
        at, end = 0, len(data)
        while 0 < (line := data.find(b"\r\n", at)) - at < 9:
            digits = data[at:line]
            size = _size(digits) if digits.isalnum() else 0
            after = line + size + 4
            if not size or after > end or data[after - 2 : after] != b"\r\n":
                return at
            content.append(data[line + 2 : after - 2])
            at = after
        return at

    def _step(self, data: bytes, at: int, content: list[bytes]) -> int:
        """Take one element from ``data[at:]`` and return its length; 0 if it is not there as a whole."""
        if self._at == "data":
            part = data[at : at + self._left]
            content.append(part)
            self._left -= len(part)
            self._at = "data" if self._left else "end"
            return len(part)
        line = data.find(b"\r\n", at)
        if line < 0:
            if self._at == "end" and data[at:] not in (b"", b"\r"):
                raise MalformedError("a chunk does not end where its size says")
            return 0
        if self._at == "size":
            self._left = _size(data[at:line].split(b";", 1)[0].strip())
            self._at = "data" if self._left else "trailer"
        elif self._at == "end":
            if line != at:
                raise MalformedError("a chunk does not end where its size says")
            self._at = "size"
        else:
            self.done = line == at
        return line + 2 - at


def _size(digits: bytes) -> int:
    try:
        size = int(digits, 16)
    except ValueError:
        raise MalformedError("a chunk's size is no hexadecimal number") from None
    if not digits.isalnum() or size > MAX_CHUNK:
        raise MalformedError("a chunk's size is out of bounds")
    return size


Body = Counted | Chunked | UntilClose


def body_of(head: Head) -> Body:
    """The framing of the body after ``head``."""
    if head.chunked:
        return Chunked()
    return UntilClose() if head.length is None else Counted(head.length)
