"""``llmserve chat sessions``: the conversations that were kept."""

from __future__ import annotations

import time

from llmserve.chat import store
from llmserve.errors import UsageError
from llmserve.output.text import columns, printable
from llmserve.result import Result

__all__ = ["forget", "sessions"]

HEADER = ("NAME", "CHANGED", "QUESTIONS", "MODEL", "FIRST QUESTION")


def sessions() -> Result:
    """All of them, the newest first."""
    found = store.saved()
    rows = [
        (
            each.name,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.changed_at)),
            str(len(each.turns) + (each.pending is not None)),
            each.model,
            _short(each.title),
        )
        for each in found
    ]
    data = [
        {
            "name": each.name,
            "changed_at": each.changed_at,
            "questions": len(each.turns) + (each.pending is not None),
            "model": each.model,
            "base_url": each.base_url,
            "title": each.title,
            "path": str(store.folder() / f"{each.name}.json"),
        }
        for each in found
    ]
    if not found:
        return Result(data={"sessions": []}, messages=("No conversation was kept yet: llmserve chat begins one.",))
    return Result(
        data={"sessions": data},
        human=columns(HEADER, rows),
        quiet="\n".join(each.name for each in found),
        messages=("Go on with one: llmserve chat --session NAME, or --continue for the newest.",),
    )


def forget(name: str) -> Result:
    """Remove one.

    Raises:
        UsageError: there is none of that name, or it is open.
    """
    if store.find(name) is None:
        raise UsageError(f"There is no conversation called {name}.", hint="`llmserve chat sessions` lists them.")
    lock = store.Saver("", name)
    try:
        lock.path.unlink()
    finally:
        lock.close()
    return Result(data={"removed": name}, human=f"Removed {name}.", quiet=name)


def _short(title: str) -> str:
    line = " ".join(printable(title).split())
    return line if len(line) <= 48 else f"{line[:47]}…"
