"""What SGLang's log lines say about a start-up (0.5.23, and the older spellings seen since 2024)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmserve.engine.base import Progress, Stage


@dataclass(frozen=True)
class _Phase:
    """``pattern`` is searched in a line; ``detail`` may use its named groups. ``done`` and ``total`` are groups too."""

    pattern: re.Pattern[str]
    stage: Stage
    detail: str = ""
    unit: str = ""

    def read(self, line: str) -> Progress | None:
        # A progress bar may draw itself several times within one line: the last one counts.
        matches = list(self.pattern.finditer(line))
        if not matches:
            return None
        words = {name: value or "" for name, value in matches[-1].groupdict().items()}
        return Progress(
            stage=self.stage,
            detail=" ".join(self.detail.format_map(words).split()),
            done=float(words["done"]) if words.get("done") else None,
            total=float(words["total"]) if words.get("total") else None,
            unit=self.unit,
        )


def _phase(pattern: str, stage: Stage, detail: str = "", unit: str = "") -> _Phase:
    return _Phase(re.compile(pattern), stage, detail, unit)


_PHASES = (
    _phase(r"server_args=", "start", "configuration read"),
    _phase(r"Init (?:parallel|torch distributed) begin", "start", "starting the workers"),
    _phase(r"Init (?:parallel|torch distributed) ends", "start", "workers started"),
    _phase(r"Load weight begin", "load", "loading weights"),
    _phase(
        r"(?:shards|Loading safetensors using [\w ]+):\s+\d+% Completed \| (?P<done>\d+)/(?P<total>\d+)",
        "load",
        "loading weights",
        "shards",
    ),
    _phase(r"Load weight end\.(?: elapsed=(?P<seconds>[\d.]+) s,)? type=(?P<type>\w+)", "load", "{type} loaded"),
    _phase(r"Mamba Cache is allocated", "kv_cache", "state cache allocated"),
    _phase(r"KV Cache is allocated\..*?#tokens: (?P<tokens>\d+)", "kv_cache", "KV cache of {tokens} tokens allocated"),
    _phase(r"KV Cache is allocated", "kv_cache", "KV cache allocated"),
    _phase(r"Memory pool end", "kv_cache", "memory reserved"),
    _phase(
        r"Capturing (?:batches|prefill shape|num tokens) \([^)]*\):\s+\d+%\|[^|]*\| (?P<done>\d+)/(?P<total>\d+)",
        "graphs",
        "capturing CUDA graphs",
        "graphs",
    ),
    _phase(r"Capture (?P<what>[\w ]*?)\s?(?:CUDA|cuda) graph begin", "graphs", "capturing {what} CUDA graphs"),
    _phase(r"Capture (?P<what>[\w ]*?)\s?(?:CUDA|cuda) graph end", "graphs", "{what} CUDA graphs captured"),
    _phase(r"max_total_num_tokens=\d+, .*context_len=", "warmup", "starting the HTTP server"),
    _phase(r"Engine startup timings \(s\)", "warmup", "starting the HTTP server"),
    _phase(r"Application startup complete", "warmup", "first request"),
    _phase(r"Uvicorn running on", "warmup", "first request"),
)
"""SGLang's "ready to roll" is left out: it is printed even when another program answers at the port."""

_OTHER_RANK = re.compile(r"^\[[^\]]*\b(?:DP|PP|TP|EP)[1-9]\d*\b[^\]]*\]")


def progress(line: str) -> Progress | None:
    """What ``line`` says about the start-up; lines of workers other than the first say nothing new."""
    if _OTHER_RANK.match(line):
        return None
    return next((found for phase in _PHASES if (found := phase.read(line))), None)
