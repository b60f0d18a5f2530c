"""Watching several servers: who they are is asked anew each time, since servers come and go."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from llmserve.errors import LlmserveError
from llmserve.output.text import columns
from llmserve.top import figures, view
from llmserve.top.gpus import Gpus, Load
from llmserve.top.watched import Target, Watched

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Watch", "draw", "follow"]


@dataclass
class Watch:
    """``targets`` names the servers of this moment; ``interval`` is in seconds. ``patient``: they may be starting.

    A look waits ``patience`` seconds for answers; a server that needs longer shows what it said before. ``ended`` says
    which servers have gone while they were watched.
    """

    targets: Callable[[], Sequence[Target]]
    gpus: Gpus
    interval: float
    patient: bool = True
    patience: float = 1.0
    ended: list[str] = field(default_factory=list)
    servers: dict[str, Watched] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)

    def look(self) -> None:
        """Take a sample of every server."""
        now = {target.name: target for target in self.targets()}
        for name in [name for name in self.servers if name not in now]:
            self.servers.pop(name).close()
            self.ended.append(f"{time.strftime('%H:%M:%S')} {name} has ended")
        for name, target in now.items():
            self.servers.setdefault(name, Watched(target)).target = target
        ends = time.monotonic() + self.patience
        for thread in [watched.ask() for watched in self.servers.values()]:
            thread.join(max(0.0, ends - time.monotonic()))
        self.loads = self.gpus.read()

    @property
    def fault(self) -> LlmserveError | None:
        """Why no server at all could be asked; None if one could."""
        faults = [watched.fault for watched in self.servers.values()]
        return faults[0] if faults and all(faults) else None

    def rest(self, since: float) -> None:
        """Sleep until an interval has passed ``since`` (of the monotonic clock)."""
        time.sleep(max(0.0, since + self.interval - time.monotonic()))

    def twice(self) -> None:
        """Two samples of every server, an interval apart: what rates need."""
        self.look()
        if not self.fault:
            self.rest(time.monotonic())
            self.look()

    def data(self) -> dict[str, Any]:
        shown = [figures.server(watched) for watched in self.servers.values()]
        return {"interval_s": self.interval, "servers": shown, "gpus": [figures.gpu(load) for load in self.loads]}

    def lines(self, style: view.Style, height: int | None = None) -> list[str]:
        """The servers in full, or a line each where ``height`` does not hold that; then the GPUs."""
        cards = [view.card(watched, style) for watched in self.servers.values()]
        used = view.loads(self._used(), style)
        whole = [line for card in cards for line in [*card, ""]]
        if height is not None and len(whole) + len(used) > height and len(cards) > 1:
            whole = [*self._table(style).splitlines(), ""]
        return [*whole, *used, *self.ended[-3:]] if used or self.ended else whole[:-1]

    def _table(self, style: view.Style) -> str:
        """Narrow terminals show what matters most."""
        places = range(len(view.HEADER)) if style.width >= 85 else [view.HEADER.index(name) for name in view.NARROW]
        rows = [view.HEADER, *(view.line(watched) for watched in self.servers.values())]
        heading, *rest = [tuple(row[place] for place in places) for row in rows]
        return columns(heading, rest)

    def _used(self) -> list[Load]:
        """The GPUs of the servers that are watched; all where that is not known."""
        wanted = {uuid for watched in self.servers.values() for uuid in watched.target.gpus}
        return [load for load in self.loads if load.uuid in wanted] if wanted else self.loads


def follow(watch: Watch, out: TextIO) -> None:
    """Without a terminal: a line for every server and interval, under one heading, until the servers have ended."""
    out.write("\t".join(("TIME", *view.HEADER)) + "\n")
    for _ in _looks(watch):
        for watched in watch.servers.values():
            out.write("\t".join((time.strftime("%H:%M:%S"), *view.line(watched))) + "\n")
        out.flush()
    out.write("".join(f"{line}\n" for line in watch.ended))


def draw(watch: Watch, out: TextIO, *, unicode: bool) -> None:
    """At a terminal: a screen of its own, redrawn until the servers have ended; the last picture stays behind."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=out, highlight=False)

    def picture() -> Text:
        size = shutil.get_terminal_size()
        lines = watch.lines(view.Style(size.columns, unicode=unicode), size.lines - 2)[: max(1, size.lines - 2)]
        shown = [*(line[: size.columns] for line in lines), f"every {watch.interval:g} s; Ctrl-C leaves"]
        return Text("\n".join(shown), no_wrap=True, overflow="crop")

    try:
        with Live(console=console, get_renderable=picture, auto_refresh=False, screen=True) as live:
            live.refresh()
            for _ in _looks(watch):
                live.refresh()
    finally:
        out.write("\n".join(watch.lines(view.Style(shutil.get_terminal_size().columns, unicode=unicode))) + "\n")


def _looks(watch: Watch) -> Iterator[None]:
    """A look every interval, for as long as there is a server; the first one has been taken."""
    while watch.servers:
        yield
        watch.rest(time.monotonic())
        watch.look()
