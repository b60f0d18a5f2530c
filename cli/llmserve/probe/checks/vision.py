"""Pictures, sounds and files. Never what is on the picture: only whether it reached the model."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, FEATURE, Finding, ignored, in_area, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.needs import need
from llmserve.probe.refusal import must_refuse, never_500, optional

check = in_area("vision", needs=("vision", "usage"))


def png(shade: int, side: int = 16) -> str:
    """A grey square as a data URL."""
    rows = (b"\0" + bytes([shade, shade, shade]) * side) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    blocks = b"".join(map(_block, (b"IHDR", b"IDAT", b"IEND"), (head, zlib.compress(rows), b"")))
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + blocks).decode()


def _block(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture(shade: int = 128, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": png(shade), **more}}


def text(said: str = "What is this?") -> dict[str, Any]:
    return {"type": "text", "text": said}


def _asked(ctx: Context, *parts: dict[str, Any]) -> Answer:
    return ctx.chat([{"role": "user", "content": list(parts)}], tokens=1)


@need("vision", needs=("chat",), requests=1)
def vision(ctx: Context) -> Finding | None:
    """Pictures are taken; a clean refusal says that this model reads text alone."""
    return optional(_asked(ctx, text(), picture()))


@check(
    "vision.accepted", "A picture is looked at, or refused cleanly", FEATURE, needs=("chat",), requests=1, tokens=1,
    expects="200, or 4xx in the envelope", source="spec ChatCompletionRequestMessageContentPartImage",
)  # fmt: skip
def accepted(ctx: Context) -> Finding:
    return optional(_asked(ctx, text(), picture())) or ok("200")


@check(
    "vision.reaches", "A picture reaches the model", FEATURE, requests=2, tokens=2,
    expects="prompt_tokens grow with the picture", source="spec; pictures that are dropped in silence",
)  # fmt: skip
def reaches(ctx: Context) -> Finding:
    plain, seen = _asked(ctx, text()), _asked(ctx, text(), picture())
    grown = seen.tokens("prompt") - plain.tokens("prompt")
    if grown <= 0:
        return ignored("200, and not one prompt token more than without the picture")
    return ok(f"the picture is {grown} prompt tokens")


@check(
    "vision.two", "Two pictures count twice", COSMETIC, requests=1, tokens=1,
    expects="200, and prompt_tokens grow again", source="spec",
)  # fmt: skip
def two(ctx: Context) -> Finding:
    one, both = _asked(ctx, text(), picture()), _asked(ctx, text(), picture(), picture(64))
    if finding := optional(both):
        return finding
    grown = both.tokens("prompt") - one.tokens("prompt")
    return ok(f"the second is {grown} tokens") if grown > 0 else ignored("the second picture adds no prompt token")


@check(
    "vision.detail", "detail is taken", COSMETIC, requests=2, tokens=2,
    expects="200; low costs no more than high", source="spec detail",
)  # fmt: skip
def detail(ctx: Context) -> Finding:
    low, high = (_asked(ctx, text(), picture(detail=word)) for word in ("low", "high"))
    for answer in (low, high):
        if finding := optional(answer):
            return finding
    counts = low.tokens("prompt"), high.tokens("prompt")
    return verdict(counts[0] <= counts[1], saw=f"low {counts[0]}, high {counts[1]} prompt tokens")


@check(
    "vision.order", "Text may stand before and after", COSMETIC, requests=1, tokens=1, expects="200", source="spec",
)  # fmt: skip
def order(ctx: Context) -> Finding:
    _asked(ctx, text("First"), picture(), text("then.")).accepted()
    return ok("200")


@check(
    "vision.broken", "A picture that is none is refused", FEATURE, requests=1,
    expects="400 in the envelope", source="spec",
)  # fmt: skip
def broken(ctx: Context) -> Finding:
    bad = {"type": "image_url", "image_url": {"url": "data:image/png;base64,not*base64"}}
    return must_refuse(_asked(ctx, text(), bad), "a picture that does not decode")


@check(
    "vision.address", "A picture by its address is fetched, or refused", FEATURE, requests=1, tokens=1,
    expects="200 or 4xx in the envelope", source="spec image_url.url",
)  # fmt: skip
def address(ctx: Context) -> Finding:
    far = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/none.png"}}
    return never_500(_asked(ctx, text(), far), "a picture at an address where nothing is")


@check(
    "vision.audio", "Sound is heard, or refused cleanly", COSMETIC, needs=("chat",), requests=1, tokens=1,
    expects="200, or 4xx in the envelope", source="spec input_audio",
)  # fmt: skip
def audio(ctx: Context) -> Finding:
    silence = bytes(1600)
    head = b"RIFF" + struct.pack("<I", 36 + len(silence)) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", len(silence))
    part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(head + silence).decode(), "format": "wav"}}
    return optional(_asked(ctx, text(), part)) or ok("200")


@check(
    "vision.file", "A file is read, or refused cleanly", COSMETIC, needs=("chat",), requests=1, tokens=1,
    expects="200, or 4xx in the envelope", source="spec file",
)  # fmt: skip
def file(ctx: Context) -> Finding:
    data = "data:text/plain;base64," + base64.b64encode(b"A short note.").decode()
    part = {"type": "file", "file": {"filename": "note.txt", "file_data": data}}
    return optional(_asked(ctx, text(), part)) or ok("200")
