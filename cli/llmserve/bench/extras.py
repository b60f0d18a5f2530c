"""What requests may carry besides text: images, and tools to choose from."""

from __future__ import annotations

import base64
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

from llmserve.bench.payload import Message
from llmserve.errors import UsageError

__all__ = ["images", "tools"]


def images(text: str) -> Callable[[str, random.Random], Message]:
    """``COUNT:WIDTHxHEIGHT`` as a function that puts so many images of noise into a message; each is another one.

    Raises:
        UsageError: it has another form.
    """
    match = re.fullmatch(r"(\d{1,2}):(\d{1,4})x(\d{1,4})", text)
    if not match or not all(int(part) for part in match.groups()):
        raise UsageError(f"--images {text!r} is unknown.", hint="Use --images 1:512x512.")
    count, width, height = (int(part) for part in match.groups())

    def decorate(words: str, draw: random.Random) -> Message:
        shown = [{"type": "image_url", "image_url": {"url": _url(_png(width, height, draw))}} for _ in range(count)]
        return {"role": "user", "content": [*shown, {"type": "text", "text": words}]}

    return decorate


def tools(count: int) -> dict[str, Any]:
    """The fields of a body that offer ``count`` tools."""
    schema = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}
    offered = [
        {
            "type": "function",
            "function": {"name": f"lookup_{n}", "description": f"Look up fact {n}.", "parameters": schema},
        }
        for n in range(count)
    ]
    return {"tools": offered} if count else {}


def _url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _png(width: int, height: int, draw: random.Random) -> bytes:
    """A grey picture of blocks: as large on the wire as a drawing, not as a photograph."""
    rows = b"".join(
        b"\0" + bytes(draw.choices(range(256), k=8)) * (width // 8) + bytes(width % 8) for _ in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
