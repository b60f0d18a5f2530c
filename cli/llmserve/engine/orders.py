"""How other commands speak with a server's keeper: words through a named pipe in the server's private folder.

A pipe needs no room on a disk that is full, and nobody but the owner of the folder can write to it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PIPE = "orders"
GRACE = 10.0
"""Seconds that running answers have to finish when nobody says otherwise."""

Verb = Literal["stop", "restart", "kill", "detach"]
_VERBS: tuple[Verb, ...] = ("stop", "restart", "kill", "detach")


@dataclass(frozen=True, kw_only=True)
class Order:
    """``grace``: seconds that running answers have to finish. ``forget``: leave no record (``stop``)."""

    verb: Verb
    grace: float = GRACE
    forget: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.grace:g}{' forget' if self.forget else ''}"


def parse(line: str) -> Order | None:
    """One line as an order; None for one that is none."""
    verb, *more = line.split() or [""]
    known = next((one for one in _VERBS if one == verb), None)
    if known is None:
        return None
    grace = GRACE
    with contextlib.suppress(IndexError, ValueError):
        grace = max(0.0, float(more[0]))
    return Order(verb=known, grace=grace, forget="forget" in more)


def listen(folder: Path) -> Iterator[Order]:
    """Make the pipe and wait for orders, for ever. Where a file system has no pipes there are none."""
    path = folder / PIPE
    try:
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        pipe = os.open(path, os.O_RDWR)  # one end for writing stays open, so that the other never ends
    except OSError:
        return
    with os.fdopen(pipe, "rb", buffering=0) as file:
        rest = b""
        while True:
            *lines, rest = (rest + file.read(4096)).split(b"\n")
            found = (parse(line.decode("ascii", "replace")) for line in lines)
            yield from (order for order in found if order and order.verb != "detach")  # `up` alone leaves a server


def send(folder: Path, order: Order) -> bool:
    """Whether a keeper was there to be told."""
    try:
        pipe = os.open(folder / PIPE, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return stat.S_ISFIFO(os.fstat(pipe).st_mode) and os.write(pipe, f"{order}\n".encode()) > 0
    except OSError:
        return False
    finally:
        os.close(pipe)
