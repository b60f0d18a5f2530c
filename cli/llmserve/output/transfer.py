"""Progress of a download: a live view for a person, lines for a log, one JSON event per line for a program."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from llmserve.output.steps import pace
from llmserve.output.text import gib, printable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

_FILES = 8  # in work, shown at most
_BAR, _SMALL_BAR = 30, 14


class Report(Protocol):
    """What a download says of itself: bytes in all and of each file in work (name, done, size, state)."""

    @property
    def done_bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def eta_seconds(self) -> float | None: ...
    @property
    def files(self) -> Sequence[tuple[str, int, int, str]]: ...
    @property
    def note(self) -> str: ...


class Transfer:
    """A view of one download, told of every report; this one shows nothing."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.last: Report | None = None

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, report: Report) -> None:
        before, self.last = self.last, report
        self.changed(report, news=bool(report.note) and report.note != (before.note if before else ""))

    def changed(self, report: Report, *, news: bool) -> None:
        """A report came; ``news`` if it says something that the one before did not."""

    def say(self, event: str, data: dict[str, Any]) -> None:
        """Something that programs want to know beside the progress: the plan, the end, an error."""

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


class PlainTransfer(Transfer):
    """A line every ``every`` seconds, and for every trouble."""

    def __init__(self, stream: TextIO, *, every: float = 5.0) -> None:
        super().__init__(stream)
        self._every, self._shown = every, time.monotonic()

    def changed(self, report: Report, *, news: bool) -> None:
        if news or time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            self._line(f"fetch  {share(report):>4}  {printable(' · '.join(filter(None, self._facts(report))))}")

    def _facts(self, report: Report) -> Sequence[str]:
        files = [f"{name} {share_of(done, size)}" for name, done, size, _ in report.files[:2]]
        more = [f"{len(report.files) - 2} more files"] if len(report.files) > 2 else []
        return amount(report), speed(report), ", ".join(files + more), report.note


class JsonTransfer(Transfer):
    """One JSON object per line, every ``every`` seconds and at the end."""

    def __init__(self, stream: TextIO, *, every: float = 0.5) -> None:
        super().__init__(stream)
        self._every, self._shown, self._pending = every, 0.0, False

    def __exit__(self, *_: object) -> None:
        if self.last and self._pending:
            self._progress(self.last)

    def changed(self, report: Report, *, news: bool) -> None:
        self._pending = True
        if news or time.monotonic() - self._shown >= self._every:
            self._progress(report)

    def say(self, event: str, data: dict[str, Any]) -> None:
        if self.last and self._pending:
            self._progress(self.last)
        self._line(json.dumps({"event": event} | data))

    def _progress(self, report: Report) -> None:
        self._shown, self._pending = time.monotonic(), False
        files = [
            {"name": name, "done_bytes": done, "size_bytes": size, "state": state}
            for name, done, size, state in report.files
        ]
        numbers = {"done_bytes": report.done_bytes, "total_bytes": report.total_bytes}
        speed = {"rate_bytes_per_s": round(report.rate or 0), "eta_s": report.eta_seconds}
        self.say("progress", {**numbers, **speed, "files": files, "note": report.note})


class LiveTransfer(Transfer):
    """Bars that are redrawn in place: the whole, and the files in work."""

    def __enter__(self) -> Transfer:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self.stream, highlight=False)
        self._live: Live = Live(console=console, get_renderable=self._drawn, refresh_per_second=8)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        report = self.last
        if report is None:
            return Group()
        whole, files = Table.grid(padding=(0, 2, 0, 0)), Table.grid(padding=(0, 2, 0, 0))
        facts = " · ".join(filter(None, (amount(report), speed(report))))
        bar = ProgressBar(total=max(1, report.total_bytes), completed=report.done_bytes, width=_BAR)
        whole.add_row(bar, Text(f"{share(report):>4}"), Text(facts, no_wrap=True, overflow="ellipsis"))
        for name, done, size, state in report.files[:_FILES]:
            small = ProgressBar(total=max(1, size), completed=done, width=_SMALL_BAR)
            label = Text(printable(name), style="dim", no_wrap=True, overflow="ellipsis")
            files.add_row(Text(" "), small, Text(f"{share_of(done, size):>4} of {gib(size)}", no_wrap=True), label,
                          Text(printable(state), style="dim"))  # fmt: skip
        note = [Text(f"  {printable(report.note)}", style="yellow")] if report.note else []
        return Group(whole, *([files] if report.files else []), *note)


def share(report: Report) -> str:
    return share_of(report.done_bytes, report.total_bytes)


def share_of(done: int, total: int) -> str:
    """``99%`` is not ``100%``: a share is rounded down."""
    return f"{100 * done // total if total else 100}%"


def speed(report: Report) -> str:
    left = report.eta_seconds if report.done_bytes < report.total_bytes else None
    return pace(report.rate, left)


def amount(report: Report) -> str:
    return f"{gib(report.done_bytes)} of {gib(report.total_bytes)}"


def view(stream: TextIO, *, mode: str, interactive: bool, as_json: bool = False) -> Transfer:
    """The view that fits. ``--progress json`` is obeyed in any mode; else ``--json`` and ``--quiet`` show nothing."""
    if as_json:
        return JsonTransfer(stream)
    if mode != "human":
        return Transfer(stream)
    return LiveTransfer(stream) if interactive else PlainTransfer(stream)
