"""Percentiles, objectives, columns, lengths and schedules."""

from __future__ import annotations

import math
import random
from array import array
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.bench import schedule, slo, stats
from llmserve.bench.lengths import parse_lengths
from llmserve.bench.records import Load, Row
from llmserve.bench.self_proof import prove
from llmserve.bench.summary import summarise
from llmserve.bench.table import Table
from llmserve.bench.tally import Durations, Tally
from llmserve.errors import UsageError


def made(**fields: object) -> Row:
    usual: dict[str, object] = {
        "index": 0, "stage": 0, "session": 0, "turn": 1, "measured": True, "cause": "", "status": 200,
        "intended_s": 0.0, "sent_s": 0.0, "first_s": 0.1, "answer_s": 0.1, "last_s": 0.3, "end_s": 0.3,
        "connect_ms": None, "first_kind": "content", "asked_input": None, "asked_output": None, "input_tokens": 5,
        "output_tokens": 3, "cached_tokens": None, "reasoning_tokens": None, "counted": True,
        "gaps_ms": (100.0, 100.0), "chunk_tokens": (1.0, 1.0, 1.0),
    }  # fmt: skip
    return Row(**(usual | fields))  # type: ignore[arg-type]


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [stats.percentile(values, q) for q in (1, 50, 90, 99, 99.9, 100)] == [1, 50, 90, 99, 100, 100]
    assert stats.percentile([7.0], 50) == 7.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_a_spread_is_ordered_and_its_intervals_hold_its_figures(values: list[float]) -> None:
    found = stats.spread(values)
    assert found
    assert found.p50 <= found.p90 <= found.p95 <= found.p99 <= found.max
    for name, (low, high) in found.ci95.items():
        assert low - 1e-3 <= getattr(found, name) <= high + 1e-3


def test_the_interval_of_a_median_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = random.Random(7)
    hits = 0
    for _ in range(120):
        found = stats.spread([draw.expovariate(1.0) for _ in range(100)])
        assert found
        low, high = found.ci95["p50"]
        hits += low <= math.log(2) <= high
    assert 106 <= hits <= 120


def test_pooled_gaps_vary_by_request() -> None:
    apart = stats.clustered(array("f", [1.0] * 500 + [9.0] * 500), [50] * 20)
    mixed = stats.clustered(array("f", [1.0, 9.0] * 500), [50] * 20)
    assert apart
    assert mixed
    assert apart.ci95["p50"] == (1.0, 9.0)
    assert mixed.mean == apart.mean == 5.0


def test_weights_count_tokens() -> None:
    found = stats.weighted([(10.0, 4.0), (40.0, 1.0)])
    assert found
    assert (found.count, found.mean, found.p50, found.max) == (5, 16.0, 10.0, 40.0)


def test_itl_of_chunks_with_four_tokens_is_a_quarter_of_their_gaps() -> None:
    rows = [made(gaps_ms=(40.0, 40.0), chunk_tokens=(4.0, 4.0, 4.0), output_tokens=12)] * 3
    found = summarise(rows, Load(kind="closed", concurrency=1))
    assert found.itl_ms
    assert found.chunk_gap_ms
    assert (found.itl_ms.p50, found.chunk_gap_ms.p50, found.tokens.per_chunk) == (10.0, 40.0, 4.0)


def test_the_open_loop_headline_counts_from_the_intended_start() -> None:
    rows = [made(intended_s=0.0, sent_s=2.0, first_s=2.1, last_s=2.3, end_s=2.3)] * 3
    found = summarise(rows, Load(kind="open", rate=1.0))
    assert found.first_token_ms
    assert found.ttft_ms
    assert found.queue_ms
    assert found.latency_ms
    assert found.first_token_ms.p50 == pytest.approx(2100)
    assert found.latency_ms.p50 == pytest.approx(2300)
    assert found.ttft_ms.p50 == pytest.approx(100)
    assert found.queue_ms.p50 == pytest.approx(2000)


def test_failures_are_counted_by_cause_and_their_tokens_are_lost() -> None:
    rows = [made(), made(cause="status", status=429, output_tokens=0), made(cause="reset", output_tokens=2),
            made(cause="interrupted", output_tokens=1), made(measured=False)]  # fmt: skip
    found = summarise(rows, Load(kind="closed", concurrency=1))
    assert (found.requests.ok, found.requests.failed, found.requests.interrupted, found.requests.warmup) == (1, 2, 1, 1)
    assert found.requests.by_cause == {"status_429": 1, "reset": 1}
    assert (found.tokens.output, found.tokens.lost) == (3, 3)


def test_throughput_under_full_load_leaves_ramp_and_drain_out() -> None:
    rows = []
    for user in range(4):  # four users begin one after the other, each asks five times, then they end
        for turn in range(5):
            start = user * 0.5 + turn * 1.0
            rows.append(made(intended_s=start, sent_s=start, first_s=start + 0.1, last_s=start + 1, end_s=start + 1,
                             output_tokens=10, gaps_ms=(100.0,) * 9, chunk_tokens=(1.0,) * 10))  # fmt: skip
    found = summarise(rows, Load(kind="closed", concurrency=4)).throughput
    assert found.window_s == (1.5, 5.0)
    assert found.steady_output_tokens == pytest.approx(40, rel=0.05)
    assert found.output_tokens == pytest.approx(200 / 6.5, rel=0.01)


def test_objectives() -> None:
    goals = slo.parse_goals("ttft:p99<500ms, itl:p95<50ms,e2e:mean<1s")
    assert [(goal.metric, goal.statistic, goal.bound) for goal in goals] == [
        ("ttft", "p99", 500.0), ("itl", "p95", 50.0), ("e2e", "mean", 1000.0)
    ]  # fmt: skip
    rows = [made(), made(gaps_ms=(20.0, 20.0))]
    found = summarise(rows, Load(kind="closed", concurrency=1), goals=goals)
    assert [goal.met for goal in found.goals] == [True, False, True]
    assert found.goodput
    assert found.goodput.share == 0.5


@pytest.mark.parametrize("text", ["ttft<5", "ttft:p99<5min", "speed:p99<5ms", "ttft:p999<5ms", "nonsense"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        slo.parse_goals(text)


def test_rows_come_back_from_the_columns_as_they_went_in() -> None:
    rows = [made(), made(cause="reset", first_s=None, first_kind=None, gaps_ms=(), chunk_tokens=()),
            made(cached_tokens=0, gaps_ms=(1.5,), chunk_tokens=(1.0, 2.0), first_kind="tool")]  # fmt: skip
    one, other = Table(), Table()
    for row in rows:
        one.add(row)
        other.add(row)
    one.extend(other)
    for index, row in enumerate(one):
        wanted = rows[index % 3]
        for name in Row.__dataclass_fields__:
            value, expected = getattr(row, name), getattr(wanted, name)
            if name in ("gaps_ms", "chunk_tokens"):
                value, expected = list(value), list(expected)
            assert name == "index" or value == expected, name


@pytest.mark.parametrize(
    ("text", "mean", "low", "high"),
    [("512", 512, 512, 512), ("uniform:10:20", 15, 10, 20), ("normal:100:10", 100, 40, 160),
     ("lognormal:100:50", 100, 1, 2000)],
)  # fmt: skip
def test_lengths(text: str, mean: float, low: int, high: int) -> None:
    lengths, draw = parse_lengths(text, "--input"), random.Random(3)
    drawn = [lengths.draw(draw) for _ in range(4000)]
    assert low <= min(drawn) <= max(drawn) <= high
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("text", ["0", "-1", "x", "uniform:5", "uniform:9:3", "normal:0:1", "beta:1:2", "1:2", "nan"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_lengths(text, "--input")


@pytest.mark.parametrize(("text", "cv"), [("poisson", 1.0), ("constant", 0.0), ("gamma:2", 2.0), ("gamma:0.5", 0.5)])
def test_arrivals_have_the_rate_and_the_variation_that_was_asked_for(text: str, cv: float) -> None:
    times = list(islice(schedule.arrivals(200.0, schedule.parse_arrival(text), 1), 20000))
    gaps = [later - sooner for sooner, later in pairwise([0.0, *times])]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.005, rel=0.05)
    assert deviation / mean == pytest.approx(cv, abs=0.08)


def test_a_poisson_schedule_is_exponential() -> None:
    times = list(islice(schedule.arrivals(200.0, schedule.parse_arrival("poisson"), 0), 1000))
    gaps = sorted(later - sooner for sooner, later in pairwise([0.0, *times]))
    mean = sum(gaps) / len(gaps)
    apart = max(abs((i + 1) / 1000 - (1 - math.exp(-gap / mean))) for i, gap in enumerate(gaps))
    assert apart <= 0.034


def test_a_ramp_ends_in_time_and_grows() -> None:
    times = list(schedule.ramp(10.0, 50.0, 20.0, schedule.parse_arrival("constant"), 0))
    assert len(times) == 599
    assert times == sorted(times)
    assert times[-1] < 20
    assert sum(t < 10 for t in times) == pytest.approx(200, abs=2)


def noted(**fields: object) -> Tally:
    """What a loop notes of ten good seconds with 10,000 reads."""
    tally = Tally(reads=10_000, cpu_s=3.0, wall_s=10.0)
    tally.lags = Durations([200_000] * 10_000)
    for name, value in fields.items():
        setattr(tally, name, value)
    return tally


GAP = stats.clustered(array("f", [10.0] * 1000), [100] * 10)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lags": Durations([12_000_000] * 1000)}, "behind"),
        ({"lags": Durations([9_000_000] * 1000), "unstamped": 10_000}, "no stamps"),
        ({"lags": Durations([200_000] * 990 + [6_000_000] * 10), "coalesced": 100}, "held several"),
        ({"lateness": Durations([6_000_000] * 1000)}, "late"),
        ({"cpu_s": 9.9}, "of a core"),
        ({"stalled_s": 0.3}, "stood still"),
        ({"clock_steps": [5_000_000]}, "stepped"),
        ({"coalesced": 200, "waited_s": 0.5}, "other programs"),
    ],
)
def test_a_client_that_was_not_good_enough_says_why(fields: dict[str, object], says: str) -> None:
    proof = prove([noted(**fields)], chunk_gap=GAP, tokens=1000)
    assert not proof.valid
    assert says in "; ".join(proof.reasons)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.integers(0, 200))
def test_durations_keep_their_distribution_however_they_were_folded(values: list[int], fold: int) -> None:
    durations, other = Durations(), Durations(values)
    for value in values:
        durations.append(value)
        durations.fold(fold)
    durations.merge(other)
    weights = durations.weights()
    assert sum(count for _, count in weights) == durations.number == 2 * len(values)
    assert (durations.total, durations.largest) == (2 * sum(values), max(values))
    found = stats.counted(weights, total=durations.total / 1e6, largest=durations.largest / 1e6)
    assert found
    assert found.p50 == pytest.approx(stats.percentile(sorted(values * 2), 50) / 1e6, abs=0.0042)
    assert found.max == pytest.approx(max(values) / 1e6, abs=1e-4)


@pytest.mark.parametrize("fields", [{}, {"coalesced": 5000}, {"waited_s": 0.5}])
def test_a_good_client_is_believed(fields: dict[str, object]) -> None:
    """A server may write several chunks at once, and a wait that lost no stamp does no harm."""
    assert prove([noted(**fields)], chunk_gap=GAP, tokens=1000).valid
