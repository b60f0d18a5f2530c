"""The table of `llmserve ps` in terminals of several widths."""

from __future__ import annotations

import pytest

from llmserve.commands.ps import HEADER, table

ROW = ("tiny", "ready (1 restart)", "tiny", "llamacpp", "http://127.0.0.1:30000/v1", "3 min 12 s", "45.3 MiB", "0")


@pytest.mark.parametrize(
    ("width", "without"), [(None, ()), (200, ()), (95, ("ENGINE",)), (80, ("ENGINE", "MODEL", "MEMORY"))]
)
def test_it_fits(width: int | None, without: tuple[str, ...]) -> None:
    text = table([ROW], width)
    assert tuple(name for name in HEADER if name not in text) == tuple(name for name in HEADER if name in without)
    assert width is None or max(map(len, text.splitlines())) <= width


def test_a_terminal_too_narrow_for_anything_gets_the_least() -> None:
    assert table([ROW], 20).splitlines()[0].split() == ["NAME", "STATE", "URL", "UPTIME"]
