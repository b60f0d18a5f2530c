"""Signals that end a command as Ctrl-C does, so that what it began is ended in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: the way in which supervisors and closed terminals say Ctrl-C."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise ``Terminated`` where a signal arrives."""

    def terminate(*_: object) -> None:
        raise Terminated

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, terminate) for number in wanted}  # nohup ignores SIGHUP: so it stays
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
