"""The search for the highest load, and the sentences, on endpoints that are formulas."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from llmserve.bench import ab, advice, cost, search, slo
from llmserve.bench.live_view import View, sparkline
from llmserve.bench.records import Goodput, Load, Proof, Requests, Serving, Spread, StageSummary, Throughput, Tokens
from llmserve.bench.search import Level


def _spread(value: float) -> Spread:
    return Spread(count=10, mean=value, p50=value, p90=value, p95=value, p99=value, max=value)


def _summary(
    users: float, *, speed: float, ttft: float, tpot: float = 10.0, failed: int = 0, ok: int = 100
) -> StageSummary:
    spreads: dict[str, Any] = {"ttft_ms": _spread(ttft), "tpot_ms": _spread(tpot), "e2e_ms": _spread(ttft + 99 * tpot)}
    goals = slo.judged(slo.parse_goals("ttft:p95<2s"), spreads.get)
    good = Goodput(requests=speed / 100 if ttft < 2000 else 0.0, output_tokens=speed, share=1.0)
    return StageSummary(
        load=Load(kind="closed", concurrency=round(users)), seconds=10, requests=Requests(ok=ok, failed=failed),
        tokens=Tokens(input=10000, output=100 * ok), goals=goals, goodput=good,
        throughput=Throughput(requests=speed / 100, output_tokens=speed, input_tokens=speed), **spreads,
    )  # fmt: skip


def _told(**series: list[tuple[float, float]]) -> Serving:
    return Serving(kind="x", series=series)


def _server(slots: int, tried: list[float]) -> Callable[[float], Level]:
    """100 tokens per second for each of ``slots``; who has none waits for an answer of one second."""

    def measure(users: float) -> Level:
        tried.append(users)
        queued = max(0.0, users - slots)
        return search.judged(users, _summary(users, speed=100 * min(users, slots), ttft=50 + 1000 * queued / slots))

    return measure


@pytest.mark.parametrize("slots", [1, 3, 8, 50, 333])
def test_the_search_finds_the_highest_number_of_users_within_the_objective(slots: int) -> None:
    tried: list[float] = []
    levels = search.explore(_server(slots, tried), start=1, most=4096, whole=True, halvings=20)
    found = search.most_that_fits(levels)
    truth = max(users for users in range(1, 4096) if 50 + 1000 * max(0, users - slots) / slots < 2000)
    assert found is not None
    assert truth / search.CLOSE <= found.load <= truth
    assert len(tried) == len(set(tried)) <= 16
    knee = search.knee(levels)
    assert knee is not None
    assert 0.9 * slots <= knee.load <= 2 * slots


def test_the_search_ends_at_its_limit_when_nothing_more_is_gained_and_when_time_is_up() -> None:
    assert [one.load for one in search.explore(_server(10**6, []), start=1, most=6, whole=True)] == [1, 2, 4, 6]
    flat = search.explore(lambda users: search.judged(users, _summary(users, speed=10, ttft=1)), start=1, most=10**6,
                          whole=True)  # fmt: skip
    assert len(flat) == 1 + search.FLAT
    assert len(search.explore(_server(9, []), start=1, most=64, whole=True, enough=lambda load: load > 4)) == 3


def test_a_rate_that_is_too_high_at_once_is_lowered() -> None:
    tried: list[float] = []
    levels = search.explore(_server(2, tried), start=64, most=10**6, whole=False)
    found = search.most_that_fits(levels)
    assert tried[:5] == [64, 32, 16, 8, 4]
    assert found is not None
    assert 4 <= found.load < 6


@pytest.mark.parametrize(
    ("last", "serving", "what"),
    [
        (_summary(64, speed=800, ttft=3000), _told(queued=[(2, 9), (12, 56)], running=[(12, 8)]), "queue"),
        (_summary(64, speed=800, ttft=3000), _told(kv_usage=[(12, 0.99)], queued=[(12, 5)]), "kv_cache"),
        (_summary(64, speed=800, ttft=400), _told(kv_usage=[(31, 0.99)], queued=[(5, 5)]), "prefill"),
        (_summary(64, speed=800, ttft=3000), None, "queue"),
        (_summary(64, speed=800, ttft=400), None, "prefill"),
        (_summary(64, speed=800, ttft=55, tpot=80.0), None, "decode"),
        (_summary(64, speed=6400, ttft=55), None, "nothing"),
        (_summary(64, speed=800, ttft=50, failed=20), None, "failures"),
    ],
)
def test_what_limits(last: StageSummary, serving: Serving | None, what: str) -> None:
    levels = [search.judged(1, _summary(1, speed=100, ttft=50), 0, 10), search.judged(64, last, 10, 20)]
    assert advice.limit(levels, serving=serving)[0] == what


def test_a_level_at_which_the_client_was_too_slow_is_said_and_not_blamed_on_the_server() -> None:
    proof = Proof(valid=False, reasons=("late",))
    slow = dataclasses.replace(_summary(64, speed=900, ttft=2500), proof=proof)
    levels = [search.judged(1, _summary(1, speed=100, ttft=50)), search.judged(8, _summary(8, speed=800, ttft=55))]
    levels.append(search.judged(64, slow))
    assert advice.limit(levels, serving=None) == ("client", "late")
    assert advice.limit(levels, serving=_told(queued=[(5, 5)]))[0] == "queue"  # the server's own word
    said = advice.answers(levels, serving=None, objectives="ttft:p95<2s", assumed=True)
    assert said[0] == "Times at 64 users at a time are INVALID: the client was too slow there: late."
    assert any("this client" in one for one in said)
    assert not [
        one for one in advice.answers(levels[:2], serving=None, objectives="x", assumed=True) if "INVALID" in one
    ]


def test_what_a_server_says_of_another_level_is_not_held_against_it() -> None:
    levels = [search.judged(1, _summary(1, speed=100, ttft=50), 0, 10)]
    levels.append(search.judged(8, _summary(8, speed=800, ttft=3000), 10, 20))
    levels.append(search.judged(64, _summary(64, speed=800, ttft=9000), 20, 30))
    assert advice.limit(levels, serving=_told(kv_usage=[(25, 0.99)]))[0] != "kv_cache"


def test_the_sentences_say_speed_capacity_limit_and_what_to_try() -> None:
    levels = search.explore(_server(8, []), start=1, most=1024, whole=True)
    said = advice.answers(levels, serving=None, objectives="ttft:p95<2s", assumed=True)
    assert said[0] == (
        "One user alone waits 50 ms for the first token, then gets 100 tokens per second; "
        "an answer of 100 tokens takes 1.0 s (medians)."
    )
    assert said[1].startswith("Within ttft:p95<2s (assumed; yours go with --slo) it serves 2")
    assert "is missed" in said[1]
    assert [one.split(":")[0] for one in said[3:]] == ["What limits", "Try"]


def test_ratios_of_pairs_have_an_interval() -> None:
    pairs = [(_summary(8, speed=100 * drift, ttft=50), _summary(8, speed=120 * drift * noise, ttft=50))
             for drift, noise in ((1, 1.01), (2, 0.99), (3, 1.0), (4, 1.02))]  # fmt: skip
    found = {one.measure: one for one in ab.ratios(pairs)}
    speed = found["output_tokens_per_s"]
    assert speed.low is not None
    assert speed.high is not None
    assert 1.15 < speed.low < 1.2 < speed.ratio < speed.high < 1.25
    assert speed.better == "b"
    assert found["ttft_ms"].better == ""
    assert "B is better" in ab.sentences([speed])[0]
    assert ab.ratios(pairs[:1])[0].low is None
    assert ab.ratios([]) == []


def test_costs() -> None:
    summary = _summary(8, speed=1000, ttft=50)
    found = cost.costs(summary, cost.Prices(gpu_hour=3.6, gpus=2, input=0.5, output=2.0))
    assert found["own_per_million"] == pytest.approx(2.0)  # 7.2 an hour, 3.6 million tokens
    assert found["hosted_per_million"] == pytest.approx(2.5)  # as many tokens in as out
    assert found["break_even_tokens_per_s"] == pytest.approx(800)
    assert "Your own is 1.2 times cheaper" in " ".join(cost.sentences(found, summary))
    assert cost.costs(summary, cost.Prices()) == {}
    nothing = dataclasses.replace(summary, tokens=Tokens(input=0, output=0),
                                  throughput=Throughput(requests=0, output_tokens=0, input_tokens=0))  # fmt: skip
    assert "own_per_million" not in cost.costs(nothing, cost.Prices(gpu_hour=1))


def test_the_live_view_counts_what_it_is_told() -> None:
    view = View()
    line = {"stage": "8 users", "at": 1.0, "seconds": 4.0, "requests": 0, "ended": 3, "failed": 1, "tokens": 30,
            "active": 8, "waits": [10.0, 20.0]}  # fmt: skip
    view.take(line)
    assert (view.done, view.failed, view.share) == (3, 1, 0.25)
    assert "TTFT p50/p95/p99 10/20/20 ms" in view.words()
    view.take({**line, "stage": "16 users"})
    assert view.done == 3
    assert sparkline([0, 1, 2]) == "▁▅█"
