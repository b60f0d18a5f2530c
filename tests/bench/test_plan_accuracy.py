"""``make bench-plan``: the planner against every usable recorded start-up, with other rules on the same cases.

(a) tokens from the logged free memory and weights; (b) tokens from the machine's profile and config.json alone, with
the printed band; (c) weights per GPU against the log. Nothing is dropped: what misses is listed with its reason.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from llmserve.output.text import columns
from llmserve.plan.sglang import memory
from tests.bench import accuracy
from tests.bench.startups import GIB, Case, cases

WHY = {
    "gb10-qwen2.5-1.5b-mem0.2-busy": "a nearly empty pool (0.18 GiB) on a card that others use: 0.1 GiB went meanwhile",
    "gb10-qwen2.5-1.5b-mem0.4-busy": "host and GPU share the memory, and others took 0.05 GiB meanwhile",
    "qwen3-30b-a3b-mi3xx-aiter-0911": "a branch that sets 51.75 GiB aside for a workspace; releases do not",
    "qwen3.6-35b-a3b-awq-offload-20gb": "a fork that offloads experts; its pool is given as 0.32 GiB",
    "vllm-sostrowsk-gemma4-nvfp4-log": "vLLM states tokens for hybrids as requests x context, not as bytes / row",
    "vllm-sostrowsk-qwen36-log": "vLLM states tokens for hybrids as requests x context, not as bytes / row",
    "vllm-sostrowsk-qwen38-nvfp4-log": "vLLM states tokens for hybrids as requests x context, not as bytes / row",
    "vllm-djangodevreng-qwen-3-6-35b-a3b": "vLLM states tokens for hybrids as requests x context, not as bytes / row",
    "vllm-jethac-vllm-gemma4-26b-a4b-bf16-20260607t131917z-server-log": "vLLM gives window layers pages of their own",
    "vllm-21348-qwen3-235b-fp8-4xh100": "vLLM: the logged memory is one worker's, the tokens are the smallest worker's",
    "vllm-deepseek-r1-8xh200": "vLLM of 2025 pads the latent row of 576 to 640",
}
"""Why (a) is off by more than 1 %."""

WHY_PLAN = {
    "qwen3-30b-a3b-mi3xx-aiter-0911": "a branch that sets 51.75 GiB aside for a workspace; releases do not",
    "gb10-qwen2.5-1.5b-mem0.2-busy": "0.18 GiB of pool: 0.2 GiB for the host's own growth is all of it",
    "qwen3.5-4b-h200-2026-08": "the fraction is not in the log: the pool gives 0.75, SGLang's default would be 0.86",
    "gemma4-e4b-gb10-bf16kv": "the fraction is not in the log: the pool gives 0.69, SGLang's default would be 0.88",
    "kimi-k2.6-w4a8-ascend-32": "5 GiB of pool on an NPU: its formats of 4 and 8 bits are not in the record",
}
"""Why (b) is off by more than 10 %."""

WHY_OUTSIDE = {
    "phi4-reasoning-plus-rtx6000ada": "figures of two starts: at 0.78 they need 48.1 GiB, and the card has 48.0",
    "qwen3-30b-a3b-mi3xx-aiter-0911": WHY_PLAN["qwen3-30b-a3b-mi3xx-aiter-0911"],
    "gemma4-e4b-gb10-bf16kv": "a fraction of 0.69 by the pool, where people are told to go down to 0.7",
}
"""Why the band does not hold the truth."""

WHY_WEIGHTS = {
    "gb10-qwen2.5-1.5b-mem0.2-busy": "host and GPU share memory: 0.2 GiB that four other starts took were not taken",
    "embeddinggemma-300m-mi350x": "0.04 GiB beside the tensors: first kernels on ROCm (0.09 in another start)",
    "deepseek-v4-pro-fp8-8xh200-fail": "the record's configuration lacks expert_dtype: FP4 experts would give -5 %",
    "deepseek-v4-flash-base-8x96gb-mf088": "a build of May 2026: 1.66 GiB more than its tensors; whole shared experts, "
    "which DeepEP brings, would be 0.88 of it",
    "qwen3.6-35b-a3b-awq-offload-20gb": "a fork that offloads experts",
    "vllm-manojarulmurugan-server-20260708-225807-log": "an EAGLE draft of 0.8 GiB is in the figure",
}
"""Why (c) is off by more than 2 %."""


@dataclass(frozen=True)
class Row:
    """The outcome of one record; errors are relative, None where the log does not allow the comparison."""

    case: Case
    a: accuracy.Outcome | None
    b: float | None
    inside: bool | None
    verdict: str
    c: float | None
    naive: float | None
    rule: float | None
    gain: float | None
    width: float | None = None

    @property
    def group(self) -> str:
        return f"{self.case.card.vendor}, {self.case.engine}"

    @property
    def pool(self) -> float:
        """GiB of the pool, by what its tokens take where the log does not say."""
        model, tokens = self.case.model, self.case.kv_tokens
        if self.case.kv_gb is not None or model is None or not tokens:
            return float(self.case.kv_gb or 0)
        return accuracy.cell(self.case, model) * float(tokens) / GIB

    @property
    def large(self) -> bool:
        """Whether the pool is at least a tenth of the card."""
        return bool(not self.case.capped and self.pool >= self.case.card.total / 10)


@cache
def rows() -> tuple[Row, ...]:
    return tuple(_row(case) for case in cases())


def _row(case: Case) -> Row:
    model = case.model
    if model is None:
        return Row(case, None, None, None, "no published configuration", None, None, None, None)
    a = accuracy.from_logged_memory(case, model)
    if case.pools_only:
        return Row(case, a, None, None, "no published configuration", None, None, None, None)
    c = accuracy.weights_error(case, model)
    if case.engine != "sglang":
        return Row(case, a, None, None, "another engine", c, None, None, None)
    plan, why = accuracy.planned(case, model)
    if plan is None or not case.kv_tokens:
        held = plan is None and case.outcome == "fail"
        return Row(
            case, a, None, None, "refused, as it failed" if held else why or "no pool logged", c, None, None, None
        )
    low, high = plan.predicted.band
    actual = case.kv_tokens
    return Row(
        case, a, plan.kv_tokens / actual - 1, low <= actual <= high, "", c,
        accuracy.naive_tokens(case, model, weights=1.0, overhead=0.0) / actual - 1,
        accuracy.naive_tokens(case, model, weights=1.2, overhead=2.0) / actual - 1,
        accuracy.gain_over_defaults(case, model), (high - low) / plan.kv_tokens,
    )  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def errors(pick: Callable[[Row], float | None], *, only: Callable[[Row], bool] = lambda row: True) -> list[float]:
    return [abs(value) for row in rows() if only(row) and (value := pick(row)) is not None]


def test_show_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    table = [
        (row.case.id[:40], row.case.card.name, _percent(_a(row)), _percent(row.b), _band(row), _percent(row.c),
         _percent(row.naive), _percent(row.rule), f"{row.gain:.2f}" if row.gain else "")
        for row in rows()
    ]  # fmt: skip
    heads = ("START", "CARD", "(a)", "(b)", "IN BAND", "(c)", "HF-MEM", "W x 1.2", "x DEFAULT")
    with capsys.disabled():
        print(f"\n{columns(heads, table)}\n\n{_summary()}\n\n{_misses()}")
    assert len(table) == 83


def test_tokens_from_logged_memory() -> None:
    seen = errors(_a, only=lambda row: row.group == "nvidia, sglang")
    assert statistics.median(seen) <= 0.002
    assert percentile(seen, 0.9) <= 0.01


def test_every_miss_is_explained() -> None:
    missed = {row.case.id for row in rows() if row.a and abs(row.a.error) > 0.01}
    assert missed == set(WHY)


def test_tokens_from_profile_and_configuration_alone() -> None:
    seen = errors(lambda row: row.b, only=lambda row: row.large)
    assert len(seen) == 31
    assert statistics.median(seen) <= 0.03
    assert percentile(seen, 0.9) <= 0.10


def test_every_bad_plan_is_explained() -> None:
    assert {row.case.id for row in rows() if row.b is not None and abs(row.b) > 0.10} == set(WHY_PLAN)


def test_the_band_holds_the_truth() -> None:
    """Of all starts: where the log does not say the fraction, the plan is told so, and its band must say it."""
    inside = [row.inside for row in rows() if row.inside is not None]
    assert sum(inside) / len(inside) >= 0.9
    assert {row.case.id for row in rows() if row.inside is False} == set(WHY_OUTSIDE)


def test_bands_are_no_wider_than_they_must_be() -> None:
    """A band from nothing to everything would hold every truth."""
    told = [row.width for row in rows() if row.width and row.large and row.case.mem_fraction_static]
    assert statistics.median(told) <= 0.06
    assert statistics.median([row.width for row in rows() if row.width and row.large]) <= 0.20


def test_weights() -> None:
    seen = errors(lambda row: row.c)
    assert statistics.median(seen) <= 0.01
    assert {row.case.id for row in rows() if row.c is not None and abs(row.c) > 0.02} == set(WHY_WEIGHTS)


def test_failed_starts_are_refused() -> None:
    failed = [row for row in rows() if row.case.outcome == "fail" and row.case.engine == "sglang"]
    assert [row.verdict for row in failed] == ["refused, as it failed"] * len(failed)


GREEDY = {"minicpm5-1b-16gb": "graphs of 4 GiB for a 1B model: an old build, or another process on the card"}


def test_chosen_fractions_leave_the_stated_slack() -> None:
    checked = 0
    for row in rows():
        left = accuracy.left_by_our_fraction(row.case)
        if left is not None and row.case.id not in GREEDY:
            checked += 1
            assert left >= memory.safety(row.case.machine().gpus[0]) / GIB, row.case.id
    assert checked >= 8


def _a(row: Row) -> float | None:
    return row.a.error if row.a else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"


def _band(row: Row) -> str:
    return row.verdict[:24] if row.inside is None else "yes" if row.inside else "NO"


def _summary() -> str:
    found = []
    for group in sorted({row.group for row in rows()}):
        here = [row for row in rows() if row.group == group]
        for what, pick in (("(a)", _a), ("(b)", lambda row: row.b), ("(c)", lambda row: row.c)):
            seen = [abs(value) for row in here if (value := pick(row)) is not None]
            if seen:
                found.append(
                    (group, what, str(len(seen)), f"{statistics.median(seen):.2%}", f"{percentile(seen, 0.9):.2%}")
                )
    for name, pick in (("hf-mem", lambda row: row.naive), ("weights x 1.2 + 2 GiB", lambda row: row.rule)):
        seen = errors(pick)
        found.append((name, "(b)", str(len(seen)), f"{statistics.median(seen):.2%}", f"{percentile(seen, 0.9):.2%}"))
    gains = [row.gain for row in rows() if row.gain]
    inside = [row.inside for row in rows() if row.inside is not None]
    told = [row.inside for row in rows() if row.inside is not None and row.case.mem_fraction_static]
    large = errors(lambda row: row.b, only=lambda row: row.large)
    widths = [row.width for row in rows() if row.width and row.large]
    return (
        f"{columns(('GROUP', 'WHAT', 'STARTS', 'MEDIAN', 'P90'), found)}\n"
        f"(b) where the pool is a tenth of the card: {len(large)} starts, median {statistics.median(large):.2%}, "
        f"p90 {percentile(large, 0.9):.2%}\n"
        f"band holds the truth: {sum(inside)} of {len(inside)} starts; "
        f"{sum(told)} of the {len(told)} whose fraction is in the log; where the pool "
        f"is a tenth of the card it is {statistics.median(widths):.1%} wide (median)\n"
        f"KV tokens of llmserve's plan over those of SGLang's default flags: median {statistics.median(gains):.2f} x"
    )


def _misses() -> str:
    tokens = _explained(_a, 0.01, WHY)
    plans = _explained(lambda row: row.b, 0.10, WHY_PLAN)
    weights = _explained(lambda row: row.c, 0.02, WHY_WEIGHTS)
    outside = [(row.case.id[:40], _percent(row.b), WHY_OUTSIDE[row.case.id]) for row in rows() if row.inside is False]
    heads = ("ERROR", "WHY")
    return (
        f"{columns(('(a) OFF BY MORE THAN 1 %', *heads), tokens)}\n\n"
        f"{columns(('(b) OFF BY MORE THAN 10 %', *heads), plans)}\n\n"
        f"{columns(('OUTSIDE OF ITS BAND', *heads), outside)}\n\n"
        f"{columns(('(c) OFF BY MORE THAN 2 %', *heads), weights)}"
    )


def _explained(pick: Callable[[Row], float | None], limit: float, why: dict[str, str]) -> list[tuple[str, str, str]]:
    return [
        (row.case.id[:40], _percent(pick(row)), why.get(row.case.id, "NOT EXPLAINED"))
        for row in rows()
        if abs(pick(row) or 0) > limit
    ]
