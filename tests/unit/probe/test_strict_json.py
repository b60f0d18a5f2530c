from __future__ import annotations

import pytest

from llmserve.probe.strict_json import lenient, strict


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}', b"[Infinity]", b"[-Infinity]", b'{"a": 1, "a": 2}', b"{} {}", b"", b"{", b'"\xff"',
        b"\xef\xbb\xbf{}", b"[" * 100_000, b"1" * 10_000, b'{"a": 1,}',
    ],
)  # fmt: skip
def test_what_a_strict_parser_refuses(body: bytes) -> None:
    with pytest.raises(ValueError):
        strict(body)


def test_what_a_forgiving_one_takes() -> None:
    assert lenient(b'\xef\xbb\xbf{"a": 1, "a": Infinity, "b": "\xff"}') == {"a": float("inf"), "b": "\ufffd"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"1" * 10_000])
def test_what_nobody_takes(body: bytes) -> None:
    with pytest.raises(ValueError):
        lenient(body)


def test_both_read_json() -> None:
    assert strict(b'{"a": [1, 2.5, null, "\\ud83d\\ude00"]}') == lenient(b'{"a": [1, 2.5, null, "\\ud83d\\ude00"]}')
