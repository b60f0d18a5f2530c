"""What earlier starts teach the next plan: pure arithmetic on observations.

Predictions were made with the calibration of their time, so only figures that do not depend on it are used: absolute
ones, and weights against what the plan had before it corrected them (``Prediction.weight_factor``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from llmserve.output.text import GIB
from llmserve.plan.observation import Observation

EXTRA = "extra"
"""Key in ``Observation.flags`` for the names of the flags that the user added to the plan's."""

_NEWEST = 5
"""Starts that a figure is taken from."""

_RECENT = 50
"""Starts among which those are looked for."""

_SMALLEST_WEIGHTS = GIB // 2
"""Engines round to 0.01 GiB: below this the rounding alone is more than a percent."""

_LEAST_BAND = 0.01

_HARMLESS = re.compile(
    r"--(?:log-|enable-metrics|enable-cache-report|decode-log|show-time|api-|chat-template|tool-call|reasoning|"
    r"random-seed|sampling|stream|watchdog|schedule-policy|n-predict|predict|seed|temp|top-|metrics|slots|jinja|verb)"
)
"""Flags that change no size. Any other one may, known or not, so a start with it teaches nothing."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """Memory of captured graphs for prefill chunks of ``chunk`` tokens and batches of ``batch`` requests (0: none).

    ``drafts`` tokens are speculated at once.
    """

    chunk: int
    batch: int
    drafts: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Measured values for the planner's priors, each None (or empty) where no start has shown it.

    ``start_overhead_bytes`` is what free memory loses before the weights load, per device; ``overhead_basis`` says
    where it comes from. ``weight_factor`` is measured / predicted weights. ``band_tokens_fraction`` is how far the
    pools of late were from their predictions, up or down. ``basis`` is for figures of the same model.
    """

    start_overhead_bytes: int | None = None
    overhead_basis: str = ""
    weight_factor: float | None = None
    graphs: tuple[Graphs, ...] = ()
    band_tokens_fraction: float | None = None
    basis: str = ""

    def graph_bytes(self, *, chunk: int, batch: int, drafts: int = 0) -> int | None:
        """What graphs of just these sizes took."""
        sizes = (chunk, batch, drafts)
        return next((one.size_bytes for one in self.graphs if (one.chunk, one.batch, one.drafts) == sizes), None)

    def band(self, prior: float) -> float:
        """Half the width of the band as a fraction of the pool: experience may narrow the ``prior``, never widen it."""
        return prior if self.band_tokens_fraction is None else min(prior, self.band_tokens_fraction)


def machine_key(gpus: Sequence[str], cores: int = 0) -> str:
    """The kind of hardware that a plan uses: names of its GPUs with their number, or the CPU with its cores."""
    if not gpus:
        return f"cpu x{cores}" if cores else "cpu"
    return " + ".join(f"{name} x{gpus.count(name)}" for name in sorted(set(gpus)))


def calibrate(
    observations: Iterable[Observation], *, machine: str, engine: str, engine_version: str, family: str,
    tensor_parallel: int, model: str = "",
) -> Calibration:  # fmt: skip
    """What ``observations`` (oldest first) say about a start with this key.

    Weights, graphs and band are those of ``model``; the overhead before the load may come from its family, or else
    from any model on the same machine with the same number of GPUs.
    """
    here = [
        one
        for one in observations
        if one.machine == machine and one.tensor_parallel == tensor_parallel
        if one.engine == engine and one.engine_version == engine_version and not _altered(one)
    ][-_RECENT:]
    kin = [one for one in here if one.family == family]
    same = [one for one in kin if one.model == model][-_NEWEST:]
    overheads, of_whom = _numbers(map(_overhead, kin)), "here"
    if not overheads:
        overheads, of_whom = _numbers(map(_overhead, here)), "of other models here"
    factors, sizes, errors = _numbers(map(_weight_factor, same)), _graphs(same), _errors(same)
    return Calibration(
        start_overhead_bytes=_median(overheads),
        overhead_basis=_basis(len(overheads), of_whom),
        weight_factor=_median(factors),
        graphs=sizes,
        band_tokens_fraction=max(*errors, _LEAST_BAND * (1 + 1 / len(errors))) if errors else None,
        basis=_basis(len(same), "here") if factors or sizes or errors else "",
    )


def _altered(one: Observation) -> bool:
    """Whether the user's own flags may have changed what was measured."""
    return any(not _HARMLESS.match(name) for name in (one.flags or {}).get(EXTRA, "").split())


def _overhead(one: Observation) -> int | None:
    """None also where another process took or freed memory between the plan and the load."""
    if one.measured.before_load_bytes is None:
        return None
    taken = one.free_bytes - one.measured.before_load_bytes
    most = int((3 + 0.25 * max(1, one.gpus)) * GIB)
    return taken if 0 <= taken <= most else None


def _weight_factor(one: Observation) -> float | None:
    """None for host memory, whose readings tell noise from weights no better than they tell neighbours."""
    measured, planned = one.measured.weight_bytes or 0, one.predicted.weights_bytes_per_gpu
    if not one.gpus or measured < _SMALLEST_WEIGHTS or planned <= 0 or one.predicted.weight_factor <= 0:
        return None
    factor = measured / (planned / one.predicted.weight_factor)
    return factor if 0.5 <= factor <= 2 else None


def _graphs(same: Sequence[Observation]) -> tuple[Graphs, ...]:
    found: dict[tuple[int, int, int], list[int]] = {}
    for one in same:
        sizes, taken = _graph_sizes(one.flags or {}), one.measured.graph_bytes
        most = (one.measured.before_load_bytes or one.free_bytes) // 4
        if sizes and taken is not None and 0 <= taken <= most:
            found.setdefault(sizes, []).append(taken)
    return tuple(
        Graphs(chunk=chunk, batch=batch, drafts=drafts, size_bytes=_median(taken) or 0)
        for (chunk, batch, drafts), taken in found.items()
    )


def _graph_sizes(flags: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Tokens of a prefill chunk, requests of a batch, tokens of a draft; None where the plan left one to the engine."""
    chunk = _size(flags, "--chunked-prefill-size", off=flags.get("--cuda-graph-backend-prefill") == "disabled")
    batch = _size(flags, "--cuda-graph-max-bs-decode", off=flags.get("--cuda-graph-backend-decode") == "disabled")
    drafts = _size(flags, "--speculative-num-draft-tokens", off="--speculative-algorithm" not in flags)
    return None if chunk is None or batch is None or drafts is None else (chunk, batch, drafts)


def _size(flags: Mapping[str, str], name: str, *, off: bool) -> int | None:
    value = flags.get(name, "")
    return 0 if off else int(value) if value.isdecimal() else None


def _errors(same: Sequence[Observation]) -> list[float]:
    """Relative errors of the pool. The first prediction for a model had nothing to go by: later ones replace it."""
    errors = _numbers(map(_error, same))
    return errors[1:] or errors


def _error(one: Observation) -> float | None:
    measured, planned = one.measured.kv_tokens, one.predicted.kv_tokens
    undisturbed = _overhead(one) is not None
    return abs(measured / planned - 1) if undisturbed and measured and planned > 0 else None


def _numbers(values: Iterable[Number | None]) -> list[Number]:
    """The newest of those that are known."""
    return [value for value in values if value is not None][-_NEWEST:]


def _median(values: Sequence[Number]) -> Number | None:
    """The upper one of two: a plan that expects more to be taken is the safer one."""
    return sorted(values)[len(values) // 2] if values else None


def _basis(count: int, of_whom: str) -> str:
    return f"measured on {count} start{'s' * (count != 1)} {of_whom}" if count else ""
