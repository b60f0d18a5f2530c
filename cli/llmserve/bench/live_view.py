"""Draws a benchmark while it runs; reads lines of JSON from standard input until they end.

python -m llmserve.bench.live_view live|plain
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from llmserve.bench.stats import percentile

__all__ = ["View", "main", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_EVERY_S = 5.0
REMEMBERED = 2000


def sparkline(values: list[float]) -> str:
    """One character for each value, its height in eighths of the highest."""
    highest = max(values, default=0.0)
    return "".join(_BLOCKS[round(value / highest * 7) if highest > 0 else 0] for value in values)


class View:
    """What the lines say so far, of the stage that runs."""

    def __init__(self) -> None:
        self.stage, self.at, self.share = "", 0.0, 0.0
        self.done = self.failed = self.active = 0
        self.rates: deque[float] = deque([0.0], maxlen=240)
        self.waits: deque[float] = deque(maxlen=REMEMBERED)

    def take(self, line: dict[str, Any]) -> None:
        if line["stage"] != self.stage:
            self.__init__()  # type: ignore[misc]
            self.stage = line["stage"]
        passed = max(line["at"] - self.at, 1e-3)
        self.at, self.active = line["at"], line["active"]
        self.done += line["ended"]
        self.failed += line["failed"]
        self.rates.append(line["tokens"] / passed)
        self.waits.extend(line["waits"])
        shares = [self.at / line["seconds"]] if line["seconds"] else []
        shares += [self.done / line["requests"]] if line["requests"] else []
        self.share = min(1.0, max(shares, default=0.0))

    def smooth(self, width: int) -> list[float]:
        """Output tokens per second of the last ``width`` quarter seconds, each the mean of two seconds around it."""
        rates = list(self.rates)
        near = [rates[max(0, at - 7) : at + 1] for at in range(len(rates))]
        return [sum(some) / len(some) for some in near][-width:]

    def words(self) -> str:
        waits = sorted(self.waits)
        said = [f"{self.done} done", *([f"{self.failed} failed"] if self.failed else []), f"{self.active} at work"]
        said.append(f"{self.smooth(1)[0]:,.0f} tokens/s")
        if waits:
            said.append("TTFT p50/p95/p99 " + "/".join(f"{percentile(waits, q):,.0f}" for q in (50, 95, 99)) + " ms")
        return ", ".join(said)


def _lines() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        try:
            yield json.loads(line)
        except ValueError:
            continue  # a line that was cut


def plain() -> None:
    view, said, stage = View(), 0.0, ""
    for line in _lines():
        view.take(line)
        if line["stage"] != stage or line["at"] >= said + PLAIN_EVERY_S:
            fresh, stage, said = line["stage"] != stage, line["stage"], line["at"]
            sys.stderr.write(f"{stage}\n" if fresh else f"  {line['at']:.0f} s: {view.words()}\n")
            sys.stderr.flush()


def live() -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)

    def drawn(view: View) -> Text:
        width = console.width - 1
        bar = max(8, min(30, width - len(view.stage) - 12))
        full = round(view.share * bar)
        parts = [
            f"{view.stage}  {'━' * full}{'╌' * (bar - full)} {view.at:.0f} s"[:width],
            view.words(), sparkline(view.smooth(min(60, width))),
        ]  # fmt: skip
        return Text("\n".join(parts), overflow="ellipsis", no_wrap=True)

    view = View()
    with Live(console=console, transient=True, auto_refresh=False) as area:
        for line in _lines():
            view.take(line)
            area.update(drawn(view), refresh=True)


def main() -> None:
    os.nice(10)
    live() if sys.argv[1:] == ["live"] else plain()


if __name__ == "__main__":
    main()
