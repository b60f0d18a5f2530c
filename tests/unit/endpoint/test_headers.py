from __future__ import annotations

import pytest

from llmserve.endpoint.headers import headers
from llmserve.errors import UsageError


def test_lines_as_in_curl() -> None:
    lines = ["X-Team: search", "X-Url:http://h:1/", "Cookie: a=${TOKEN}; b=${TOKEN}", "X-Empty:"]
    assert headers(lines, {"TOKEN": "t"}) == (
        ("X-Team", "search"), ("X-Url", "http://h:1/"), ("Cookie", "a=t; b=t"), ("X-Empty", ""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("X-Team", "'X-Team' is no header"),
        ("X Team: a", "no name of a header"),
        (": a", "no name of a header"),
        ("X: a\r\nY: b", "characters that no header has"),
        ("X: é", "characters that no header has"),
        ("X: ${NOPE}", "needs the variable NOPE"),
        ("Host: x", "belongs to the request itself"),
        ("content-length: 1", "belongs to the request itself"),
    ],
)
def test_lines_that_are_none(line: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        headers([line], {})
    assert says in caught.value.message
    assert caught.value.hint
