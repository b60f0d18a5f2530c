from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.models.model import Model
from llmserve.plan.choose import choose
from llmserve.plan.plan import Doubt, Goal, Plan
from llmserve.plan.sglang.doubts import combined
from tests.fakes.machines import gpus, llama_8b

LLAMA = llama_8b()


def plan(model: Model = LLAMA, *, free: float = 79, version: str = "0.5.23", **fixed: object) -> Plan:
    pins = tuple((name, str(value)) for name, value in fixed.items())
    here = gpus(1, total_gib=80, free_gib=free)
    return choose(model, here, Goal(fixed=pins), engine="sglang", reason="test", engine_version=version)


def names(made: Plan) -> set[str]:
    return {doubt.name for doubt in made.doubts}


def width(made: Plan) -> float:
    low, high = made.predicted.band
    return (high - low) / made.kv_tokens


def test_doubts_add_up_as_the_root_of_their_squares() -> None:
    found = [Doubt(name=name, below=0.03, above=above, reason="") for name, above in (("a", 0.04), ("b", 0.0))]
    below, above = combined([*found, Doubt(name="c", below=0.0, above=0.03, reason="")])
    assert below == pytest.approx(0.03 * 2**0.5)
    assert above == pytest.approx(0.05)


def test_the_band_is_what_the_doubts_say() -> None:
    made = plan()
    below, above = combined(made.doubts)
    assert made.predicted.band[0] == int(made.kv_tokens * (1 - below))
    assert made.predicted.band[1] == pytest.approx(made.kv_tokens * (1 + above), abs=2)


def test_what_is_stated_is_not_in_doubt() -> None:
    told = plan(before_load_gib=78.5, weights_gib=15.1, mem_fraction_static=0.85)
    assert names(told) == {"rounding"}
    assert width(told) < 0.01 < width(plan(mem_fraction_static=0.85))


def test_a_guessed_fraction_widens_the_band_and_says_so() -> None:
    told, own, guessed = (plan(mem_fraction_static=value) for value in (0.85, "auto", "unknown"))
    assert "static fraction" not in names(told) | names(own)
    assert "static fraction" in names(guessed)
    assert width(guessed) > 4 * width(told)
    assert "guess between 0.70 and 0.95" in next(d.reason for d in guessed.doubts if d.name == "static fraction")
    assert "static fraction" in names(plan(mem_fraction_static="auto", version=""))


@pytest.mark.parametrize("fraction", [0.7, 0.8, 0.95])
def test_the_band_of_a_guessed_fraction_holds_each_one_that_is_meant(fraction: float) -> None:
    low, high = plan(mem_fraction_static="unknown").predicted.band
    assert low <= plan(mem_fraction_static=fraction).kv_tokens <= high


def test_a_fraction_left_to_the_engine_is_no_flag() -> None:
    for word in ("auto", "unknown"):
        assert "--mem-fraction-static" not in {flag.name for flag in plan(mem_fraction_static=word).flags}


def test_neighbours_on_the_card_are_a_doubt() -> None:
    assert "other processes" not in names(plan())
    assert "other processes" in names(plan(free=60))


def test_a_draft_of_unknown_size_can_only_take_memory() -> None:
    made = plan(speculative_algorithm="EAGLE3", speculative_draft_model_path="org/draft")
    draft = next(doubt for doubt in made.doubts if doubt.name == "draft model")
    assert draft.below > 0
    assert draft.above == 0


def test_weights_without_headers_are_in_more_doubt() -> None:
    exact, computed = plan(replace(LLAMA, basis="headers")), plan(replace(LLAMA, basis="config"))
    quantised = plan(replace(LLAMA, basis="config", quantization="compressed-tensors"))
    assert width(exact) < width(computed) < width(quantised)
    assert "quantisation" in names(quantised) - names(computed)


@given(fraction=st.sampled_from(["auto", "unknown", 0.6, 0.8, 0.9]), free=st.integers(30, 79))
def test_the_prediction_is_within_its_band(fraction: object, free: int) -> None:
    made = plan(free=free, mem_fraction_static=fraction)
    low, high = made.predicted.band
    assert 0 <= low <= made.kv_tokens <= high
    assert all(doubt.below >= 0 and doubt.above >= 0 and doubt.reason for doubt in made.doubts)
