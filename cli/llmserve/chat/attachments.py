"""Files that go with a question."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

from llmserve.errors import UsageError
from llmserve.output.text import gib

__all__ = ["file_part", "image_part", "question"]

_MOST_IMAGE = 20 * 1024**2
_MOST_TEXT = 2 * 1024**2

_MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"BM": "image/bmp"}


def image_part(path: str) -> dict[str, Any]:
    """The image in a file, or at an http address, as a part of a message."""
    if path.startswith(("http://", "https://", "data:image/")):
        return {"type": "image_url", "image_url": {"url": path}}
    data = _bytes(path, _MOST_IMAGE)
    kind = _image_kind(data) or mimetypes.guess_type(path)[0] or ""
    if not kind.startswith("image/"):
        raise UsageError(f"{path} is no image.", hint="/file attaches a text.")
    encoded = base64.b64encode(data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{encoded}"}}


def file_part(path: str) -> dict[str, Any]:
    """The text in a file as a part of a message, its name above it."""
    data = _bytes(path, _MOST_TEXT)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8.", hint="/image attaches an image.") from error
    ticks = "`" * max(3, _longest_run(text) + 1)
    return {"type": "text", "text": f"{Path(path).name}:\n{ticks}\n{text.rstrip()}\n{ticks}"}


def question(text: str, parts: list[dict[str, Any]]) -> str | dict[str, Any]:
    """A text with its attachments as a user message; texts alone are joined, which every server understands."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join([*(part["text"] for part in parts), text])
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def _bytes(path: str, most: int) -> bytes:
    place = Path(path).expanduser()
    try:
        if place.is_file() and place.stat().st_size > most:
            raise UsageError(f"{path} is larger than {gib(most)}.", hint="Attach a smaller file.")
        return place.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _image_kind(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _longest_run(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest
