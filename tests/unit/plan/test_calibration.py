"""What earlier starts teach, and what they must not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.plan.calibration import EXTRA, Calibration, calibrate, machine_key
from llmserve.plan.observation import Observation
from tests.fakes.plans import GIB
from tests.fakes.starts import FLAGS, PREDICTED, as_predicted, start

MIB = 1024**2


def learn(*starts: Observation, **changes: object) -> Calibration:
    key = {
        "machine": start().machine, "engine": "sglang", "engine_version": "0.5.23", "family": "Qwen3ForCausalLM",
        "tensor_parallel": 1, "model": start().model,
    }  # fmt: skip
    return calibrate(starts, **(key | changes))  # type: ignore[arg-type]


def overhead(size: int, *, family: str = "Qwen3ForCausalLM") -> Observation:
    found = start(family=family)
    return replace(found, measured=as_predicted(before_load_bytes=found.free_bytes - size))


def weighing(factor: float, *, planned_with: float = 1.0) -> Observation:
    """A start whose true weights are ``factor`` times those of the headers."""
    raw = PREDICTED.weights_bytes_per_gpu
    predicted = replace(PREDICTED, weights_bytes_per_gpu=int(raw * planned_with), weight_factor=planned_with)
    return start(as_predicted(weight_bytes=int(raw * factor)), predicted=predicted)


def pool(ratio: float) -> Observation:
    return start(as_predicted(kv_tokens=int(PREDICTED.kv_tokens * ratio)))


def test_without_starts_nothing_is_known() -> None:
    assert learn() == Calibration()


@given(count=st.integers(1, 12))
def test_starts_that_went_as_predicted_change_nothing(count: int) -> None:
    found = learn(*[start()] * count)
    assert found.start_overhead_bytes == start().free_bytes - (PREDICTED.before_load_bytes or 0)
    assert found.weight_factor == 1.0
    assert found.graph_bytes(chunk=8192, batch=256) == PREDICTED.graph_bytes


@given(ratios=st.lists(st.floats(0.0, 3.0), max_size=12), prior=st.floats(0.0, 1.0))
def test_the_band_never_becomes_wider_than_the_prior(ratios: list[float], prior: float) -> None:
    assert learn(*map(pool, ratios)).band(prior) <= prior


@given(count=st.integers(1, 10), ratio=st.floats(0.9, 1.1))
def test_another_start_like_the_others_never_widens_the_band(count: int, ratio: float) -> None:
    fewer, more = (learn(*[pool(ratio)] * number).band_tokens_fraction for number in (count, count + 1))
    assert fewer is not None
    assert more is not None
    assert more <= fewer


def test_the_band_holds_the_pools_of_late() -> None:
    assert learn(pool(1.2), pool(1.03), pool(0.98)).band(0.5) == pytest.approx(0.03, abs=1e-4)  # the first was a guess
    assert learn(pool(1.2)).band(0.5) == pytest.approx(0.2, abs=1e-4)
    assert learn(pool(1.2), pool(1.0)).band(0.5) == pytest.approx(0.02)


def test_the_middle_of_the_newest_five_counts() -> None:
    sizes = [2000, 2000, 2000, 500, 510, 900, 520, 530]
    assert learn(*[overhead(size * MIB) for size in sizes]).start_overhead_bytes == 520 * MIB


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": "NVIDIA L4 x1"}, {"engine": "llamacpp"}, {"engine_version": "0.5.24"}, {"tensor_parallel": 2},
        {"engine_version": ""},
    ],
)  # fmt: skip
def test_other_machines_engines_and_arrangements_teach_nothing(changes: dict[str, object]) -> None:
    assert learn(start(), **changes) == Calibration()


def test_another_family_teaches_the_overhead_alone() -> None:
    found = learn(overhead(700 * MIB), family="LlamaForCausalLM", model="llama")
    assert found == Calibration(
        start_overhead_bytes=700 * MIB, overhead_basis="measured on 1 start of other models here"
    )


def test_its_own_family_goes_first() -> None:
    starts = [overhead(700 * MIB), *[overhead(900 * MIB, family="LlamaForCausalLM")] * 5]
    found = learn(*starts)
    assert (found.start_overhead_bytes, found.overhead_basis) == (700 * MIB, "measured on 1 start here")


@pytest.mark.parametrize("model", ["qwen3-32b", ""])
def test_weights_graphs_and_band_are_those_of_the_model_itself(model: str) -> None:
    found = learn(weighing(1.02), model=model)
    assert (found.weight_factor, found.graphs, found.band_tokens_fraction, found.basis) == (None, (), None, "")
    assert found.start_overhead_bytes == GIB // 2


def test_a_correction_holds_once_the_plans_have_it() -> None:
    """The second start was planned with what the first had shown: its prediction was right for that very reason."""
    starts = [weighing(1.05)]
    for _ in range(7):
        factor = learn(*starts).weight_factor
        assert factor is not None
        assert factor == pytest.approx(1.05, abs=1e-6)
        starts.append(weighing(1.05, planned_with=factor))


@pytest.mark.parametrize("factor", [0.2, 3.0, 0.0])
def test_weights_that_cannot_be_are_left_out(factor: float) -> None:
    assert learn(weighing(factor)).weight_factor is None
    assert learn(weighing(1.01), weighing(factor)).weight_factor == pytest.approx(1.01, abs=1e-6)


def test_small_weights_and_host_memory_are_mostly_noise() -> None:
    small = replace(PREDICTED, weights_bytes_per_gpu=100 * MIB)
    assert learn(start(as_predicted(weight_bytes=110 * MIB), predicted=small)).weight_factor is None
    assert learn(replace(weighing(1.01), gpus=0)).weight_factor is None


@pytest.mark.parametrize("size", [-300 * MIB, 12 * GIB])
def test_memory_that_another_process_took_or_freed_is_no_overhead(size: int) -> None:
    """Nor is such a start's pool an error of the plan."""
    found = learn(replace(overhead(size), measured=replace(overhead(size).measured, kv_tokens=1)))
    assert (found.start_overhead_bytes, found.band_tokens_fraction) == (None, None)
    assert learn(overhead(600 * MIB), overhead(size)).start_overhead_bytes == 600 * MIB


@pytest.mark.parametrize(
    ("extra", "counts"),
    [
        ("", True), ("--enable-metrics --log-level", True), ("--mem-fraction-static", False), ("--tp", False),
        ("--log-level --context-length", False), ("--some-flag-of-next-year", False), ("-c", False),
    ],
)  # fmt: skip
def test_starts_that_the_user_changed_by_hand_teach_nothing(extra: str, counts: bool) -> None:
    found = learn(start(flags=FLAGS | {EXTRA: extra}))
    assert (found != Calibration()) is counts


def graphs(size: int | None, **flags: str | None) -> Observation:
    named = FLAGS | {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    return start(
        as_predicted(graph_bytes=size), flags={name: value for name, value in named.items() if value is not None}
    )


def test_graphs_are_known_for_the_sizes_they_were_captured_for() -> None:
    found = learn(
        graphs(2 * GIB), graphs(1 * GIB, cuda_graph_max_bs_decode="32"),
        graphs(MIB, cuda_graph_backend_prefill="disabled"),
        graphs(0, cuda_graph_backend_prefill="disabled", cuda_graph_backend_decode="disabled"),
        graphs(4 * GIB, speculative_algorithm="NEXTN", speculative_num_draft_tokens="4"),
    )  # fmt: skip
    assert found.graph_bytes(chunk=8192, batch=256) == 2 * GIB
    assert found.graph_bytes(chunk=8192, batch=32) == GIB
    assert found.graph_bytes(chunk=0, batch=256) == MIB
    assert found.graph_bytes(chunk=0, batch=0) == 0
    assert found.graph_bytes(chunk=8192, batch=256, drafts=4) == 4 * GIB
    assert found.graph_bytes(chunk=4096, batch=256) is None


@pytest.mark.parametrize(
    "one",
    [graphs(None), graphs(60 * GIB), graphs(GIB, chunked_prefill_size=None), graphs(GIB, chunked_prefill_size="-1")],
)
def test_graphs_of_unknown_sizes_or_impossible_memory_are_left_out(one: Observation) -> None:
    assert learn(one).graphs == ()


def test_a_start_that_told_nothing_teaches_nothing() -> None:
    silent = replace(start(), measured=replace(as_predicted(), **dict.fromkeys(vars(as_predicted()))))
    assert learn(silent) == Calibration()


def test_thousands_of_starts_are_no_reason_to_count_thousands() -> None:
    assert learn(*[start()] * 2000).basis == "measured on 5 starts here"


def test_machines_are_told_apart_by_the_hardware_that_is_used() -> None:
    assert machine_key(["NVIDIA H100"] * 2) == "NVIDIA H100 x2"
    assert machine_key(["B", "A", "B"]) == "A x1 + B x2"
    assert (machine_key([], 16), machine_key([])) == ("cpu x16", "cpu")
