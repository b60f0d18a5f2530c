"""Progress of a job in named steps: a live view on a terminal, one line per step elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TextIO

from llmserve.output.text import duration, gib, printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_BAR = 20

State = Literal["waiting", "running", "done", "skipped", "failed"]

_GLYPHS = {
    "waiting": ("·", "dim"),
    "running": ("●", "cyan"),
    "done": ("✓", "green"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "red"),
}


@dataclass
class Step:
    """One step: seconds it took, and ``done`` of ``total`` in ``unit`` where there is a quantity.

    ``rate`` is in bytes per second and ``eta`` in seconds, where they are known; both are shown while the step runs.
    """

    name: str
    state: State = "waiting"
    detail: str = ""
    started: float = 0.0
    ended: float = 0.0
    done: float | None = None
    total: float | None = None
    unit: str = ""
    rate: float | None = None
    eta: float | None = None

    @property
    def elapsed(self) -> float:
        return (self.ended or time.monotonic()) - self.started if self.started else 0.0

    @property
    def amount(self) -> str:
        if self.done is None or not self.total:
            return ""
        if self.unit == "B":
            return f"{gib(self.done)} of {gib(self.total)}"
        return f"{self.done:,.0f} of {self.total:,.0f}{self.unit and ' ' + self.unit}"

    @property
    def facts(self) -> str:
        """All that is known of it beside its name and its time."""
        running = self.state == "running"
        return " · ".join(filter(None, (self.detail, self.amount, pace(self.rate, self.eta) if running else "")))


def pace(rate: float | None, eta: float | None) -> str:
    """``61.2 MiB/s · 3 min 20 s left``; nothing before there is a rate."""
    left = f" · {duration(eta)} left" if eta is not None else ""
    return f"{gib(rate)}/s{left}" if rate else ""


@dataclass
class Steps:
    """The steps of one job, in order. Beginning a step ends the one before; steps passed over are skipped."""

    names: tuple[str, ...]
    steps: dict[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = {name: Step(name) for name in self.names}

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and (step := self.current):
            self._close(step, "failed")

    @property
    def current(self) -> Step | None:
        return next((step for step in self.steps.values() if step.state == "running"), None)

    def begin(self, name: str, detail: str = "") -> None:
        step = self.steps[name]
        if step.state == "running":
            return
        for earlier in self.names[: self.names.index(name)]:
            self._pass(self.steps[earlier])
        step.state, step.started, step.detail = "running", time.monotonic(), printable(detail)
        self.changed(step)

    def update(
        self,
        name: str,
        *,
        detail: str = "",
        done: float | None = None,
        total: float | None = None,
        unit: str = "",
        rate: float | None = None,
        eta: float | None = None,
    ) -> None:
        """Report within a step (begun if it was not): text, or a quantity and how fast it grows."""
        self.begin(name)
        step = self.steps[name]
        step.detail = printable(detail) or step.detail
        if done is not None:
            step.done, step.total, step.unit, step.rate, step.eta = done, total, unit, rate, eta
        self.changed(step)

    def finish(self, name: str, detail: str = "") -> None:
        self.begin(name)
        self.steps[name].detail = printable(detail) or self.steps[name].detail
        self._close(self.steps[name], "done")

    def _pass(self, step: Step) -> None:
        if step.state == "running":
            self._close(step, "done")
        elif step.state == "waiting":
            step.state = "skipped"

    def _close(self, step: Step, state: State) -> None:
        step.state, step.ended = state, time.monotonic()
        self.changed(step)

    def changed(self, step: Step) -> None:
        """A step changed: for the views."""


class PlainSteps(Steps):
    """A line for each step that ended, and one every ``every`` seconds for a long one."""

    def __init__(self, names: tuple[str, ...], stream: TextIO, *, every: float = 5.0) -> None:
        super().__init__(names)
        self._stream, self._every, self._last = stream, every, time.monotonic()

    def changed(self, step: Step) -> None:
        now = time.monotonic()
        if step.state == "running" and now - self._last < self._every:
            return
        self._last = now
        mark = {"done": "", "failed": "failed", "running": "…"}.get(step.state, "")
        line = f"{step.name:<9} {duration(step.elapsed):>10} {mark}{' ' if mark else ''} {step.facts}"
        self._stream.write(line.rstrip() + "\n")
        self._stream.flush()


class LiveSteps(Steps):
    """The whole list, redrawn in place while the job runs."""

    def __init__(self, names: tuple[str, ...], stream: TextIO) -> None:
        super().__init__(names)
        self._stream = stream
        self._live: Live | None = None

    def __enter__(self) -> Steps:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, highlight=False)
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        super().__exit__(kind, *rest)
        if self._live:
            self._live.stop()

    def _table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 0))
        for step in self.steps.values():
            glyph, style = _GLYPHS[step.state]
            took = duration(step.elapsed) if step.started else ""
            text = Text(step.facts, overflow="ellipsis", no_wrap=True)
            row: list[Any] = [Text(f"{glyph} {step.name}", style=style), Text(took, justify="right"), text]
            if step.state == "running" and step.done is not None and step.total:
                row.append(ProgressBar(total=step.total, completed=step.done, width=_BAR))
            table.add_row(*row)
        return table


def steps(names: tuple[str, ...], stream: TextIO, *, mode: str, interactive: bool) -> Steps:
    """The view that fits: live for a person at a terminal, lines for a log, nothing for ``--json`` and ``--quiet``."""
    if mode != "human":
        return Steps(names)
    return LiveSteps(names, stream) if interactive else PlainSteps(names, stream)
