"""The planner as a whole: what fits, on how many GPUs, and clear words when something does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware import load
from llmserve.models.model import Candidate, Model, Source
from llmserve.plan import explain
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.choose import choose, choose_engine
from llmserve.plan.parallel import violation
from llmserve.plan.plan import Goal, Objective, Plan
from tests.fakes.machines import GIB, gpus, laptop, llama_8b, qwen3_8b, shaped, small_gguf


def on_gpu(
    model: Model, machine_gib: float, count: int = 1, goal: Goal | None = None, free: float | None = None
) -> Plan:
    machine = gpus(count, total_gib=machine_gib, free_gib=free)
    return choose(model, machine, goal or Goal(), engine="sglang", reason="there is a GPU")


def flag(plan: Plan, name: str) -> str | None:
    return next((flag.value for flag in plan.flags if flag.name == name), None)


def test_a_24_gb_card_gets_the_tokens_that_fit_not_the_7000_of_the_engine_default() -> None:
    plan = on_gpu(qwen3_8b(), 23.99, free=23.55)
    assert 33_000 < plan.kv_tokens < 40_000
    assert plan.context <= plan.kv_tokens
    assert plan.context < 40_960
    assert any("Context lowered from 40,960" in note for note in plan.notes)
    assert flag(plan, "--cuda-graph-backend-prefill") == "disabled"
    assert 0.86 < float(flag(plan, "--mem-fraction-static") or 0) < 0.9


BIG = llama_8b(layers=80, heads=64, hidden_size=8192, intermediate_size=28_672, weight_bytes=141_107_412_992)


def test_tensor_parallel_is_the_fewest_gpus_that_hold_the_model() -> None:
    assert on_gpu(llama_8b(), 80).tensor_parallel == 1
    assert on_gpu(BIG, 78, count=8).tensor_parallel == 4  # two hold the weights, and hardly any context
    assert on_gpu(BIG, 78, count=2).tensor_parallel == 2
    assert on_gpu(BIG, 141, count=8).tensor_parallel == 2
    assert flag(on_gpu(BIG, 78, count=8), "--tp-size") == "4"


def test_throughput_copies_the_smallest_group_and_fit_takes_the_most_tokens() -> None:
    copied = on_gpu(llama_8b(), 80, count=8, goal=Goal(objective="throughput"))
    assert (copied.tensor_parallel, copied.data_parallel, len(copied.gpus)) == (1, 8, 8)
    assert flag(copied, "--dp-size") == "8"
    assert copied.kv_tokens_in_all == 8 * copied.kv_tokens
    most = on_gpu(llama_8b(), 80, count=8, goal=Goal(objective="fit"))
    assert most.kv_tokens > copied.kv_tokens
    assert most.tensor_parallel == 8


def test_latency_wants_linked_gpus() -> None:
    apart = on_gpu(llama_8b(), 80, count=8, goal=Goal(objective="latency"))
    assert apart.tensor_parallel == 1  # over PCIe more GPUs would be slower
    close = choose(llama_8b(), load("h100x8"), Goal(objective="latency"), engine="sglang", reason="")
    assert close.tensor_parallel == 8


def test_a_number_of_gpus_that_is_asked_for_is_used_or_refused() -> None:
    assert len(on_gpu(llama_8b(), 80, count=8, goal=Goal(gpus=4)).gpus) == 4
    with pytest.raises(DoesNotFitError, match="9 GPUs were asked for"):
        on_gpu(llama_8b(), 80, count=8, goal=Goal(gpus=9))


def test_heads_that_do_not_divide_rule_a_size_out() -> None:
    odd = llama_8b(heads=28, kv_heads=4, weight_bytes=100 * GIB, intermediate_size=14_336)
    assert on_gpu(odd, 80, count=8).tensor_parallel == 2
    assert on_gpu(odd, 40, count=8).tensor_parallel == 4
    staged = on_gpu(odd, 20, count=8)  # 8 does not divide 28, so the layers are split as well
    assert (staged.tensor_parallel, staged.pipeline_parallel) == (4, 2)


def test_unequal_and_mig_gpus_never_share_a_model() -> None:
    big = llama_8b(weight_bytes=100 * GIB)
    with pytest.raises(DoesNotFitError):
        choose(big, gpus(4, total_gib=80, mig=True), Goal(), engine="sglang", reason="")


def test_what_is_missing_is_said_in_gib() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        on_gpu(llama_8b(weight_bytes=200 * GIB), 80)
    assert "are missing" in caught.value.message
    assert caught.value.exit_code == 3
    assert caught.value.data["missing_bytes"] > 120 * GIB


def test_a_goal_is_kept_or_refused_never_lowered() -> None:
    plan = on_gpu(llama_8b(), 80, goal=Goal(context=8192, concurrency=16))
    assert (plan.context, plan.concurrency) == (8192, 16)
    with pytest.raises(DoesNotFitError) as caught:
        on_gpu(llama_8b(), 24, goal=Goal(context=131_072, concurrency=4))
    assert "--context" in (caught.value.hint or "")


@pytest.mark.parametrize("goal", [Goal(context=0), Goal(concurrency=0), Goal(context=-5), Goal(context=200_000)])
def test_a_goal_that_contradicts_the_model_is_a_usage_error(goal: Goal) -> None:
    with pytest.raises(UsageError):
        on_gpu(llama_8b(), 80, goal=goal)


def test_llama_cpp_answers_no_more_requests_at_a_time_than_it_was_built_for() -> None:
    plan = choose(small_gguf(), laptop(), Goal(concurrency=256, context=512), engine="llamacpp", reason="")
    assert plan.concurrency == 256
    with pytest.raises(UsageError, match="at most 256 requests"):
        choose(small_gguf(), laptop(), Goal(concurrency=257, context=512), engine="llamacpp", reason="")


def test_a_laptop_keeps_half_of_its_free_memory_unless_asked() -> None:
    model = small_gguf(context_length=1_000_000, kv_heads=14, head_dim=128)
    plan = choose(model, laptop(), Goal(), engine="llamacpp", reason="")
    not_kv = sum(share.size_bytes for share in plan.ledger if share.name in ("unused", "prompt cache"))
    assert not_kv >= plan.predicted.kv_bytes
    asked = choose(model, laptop(), Goal(context=50_000), engine="llamacpp", reason="")
    assert asked.context == 50_000


def test_llamacpp_shares_its_context_out_evenly() -> None:
    plan = choose(small_gguf(), laptop(), Goal(), engine="llamacpp", reason="")
    assert flag(plan, "--ctx-size") == str(plan.context * plan.concurrency) == str(plan.kv_tokens)
    assert flag(plan, "--parallel") == str(plan.concurrency)
    assert plan.predicted.band == (plan.kv_tokens, plan.kv_tokens)


def test_sglang_on_a_cpu_caps_its_tokens() -> None:
    plan = choose(small_gguf(), laptop(), Goal(context=2048, concurrency=4), engine="sglang", reason="")
    assert plan.device == "cpu"
    assert flag(plan, "--max-total-tokens") == "8192"


def test_an_unknown_architecture_is_planned_with_a_wide_band() -> None:
    known, new = on_gpu(llama_8b(), 80), on_gpu(llama_8b(familiar=False, architecture="NovelForCausalLM"), 80)
    assert any("new to llmserve" in note for note in new.notes)
    low, high = new.predicted.band
    assert low < known.predicted.band[0] / 2
    assert high > 2 * known.predicted.band[1]


def test_the_text_of_a_plan_names_every_flag_with_a_reason() -> None:
    plan = on_gpu(llama_8b(), 80)
    text = explain.describe(plan)
    assert all(flag.name in text for flag in plan.flags)
    assert all(flag.reason for flag in plan.flags)


sizes = st.floats(min_value=6, max_value=300)


@given(total=sizes, used=st.floats(min_value=0, max_value=0.9), count=st.sampled_from([1, 2, 4, 8]))
def test_a_ledger_adds_up_to_the_free_memory_to_the_byte(total: float, used: float, count: int) -> None:
    try:
        plan = on_gpu(qwen3_8b(), total, count=count, free=total * (1 - used))
    except DoesNotFitError:
        return
    assert sum(share.size_bytes for share in plan.ledger) == plan.memory_bytes
    assert all(share.size_bytes >= 0 for share in plan.ledger)
    assert plan.context * plan.concurrency <= plan.kv_tokens


@given(free=st.integers(min_value=18 * GIB, max_value=79 * GIB), more=st.integers(min_value=0, max_value=GIB))
def test_more_free_memory_never_gives_a_smaller_pool(free: int, more: int) -> None:
    def tokens(size: int) -> int:
        try:
            return on_gpu(qwen3_8b(), 80, free=size / GIB).kv_tokens
        except DoesNotFitError:
            return 0

    assert tokens(free + more) >= tokens(free)


BOTH = (Source(format="safetensors", repo="o/n"), Source(format="gguf", repo="o/g"))


@pytest.mark.parametrize(
    ("sources", "gpu", "wish", "expected"),
    [
        (BOTH, True, "auto", "sglang"),
        (BOTH, False, "auto", "llamacpp"),
        (BOTH[:1], False, "auto", "sglang"),
        (BOTH[1:], True, "auto", "llamacpp"),
        (BOTH, True, "llamacpp", "llamacpp"),
        (BOTH, False, "sglang", "sglang"),
    ],
)
def test_the_engine_follows_from_formats_and_hardware(
    sources: tuple[Source, ...], gpu: bool, wish: str, expected: str
) -> None:
    machine = gpus(1, total_gib=24) if gpu else laptop()
    engine, reason = choose_engine(Candidate(ref="m", name="m", sources=sources), machine, wish=wish)
    assert engine == expected
    assert reason


def test_an_engine_that_cannot_load_the_format_is_refused() -> None:
    only_gguf = Candidate(ref="m", name="m", sources=BOTH[1:])
    with pytest.raises(UsageError, match="sglang needs safetensors"):
        choose_engine(only_gguf, laptop(), wish="sglang")


def test_what_would_make_it_fit_is_worked_out() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        on_gpu(qwen3_8b(), 24, goal=Goal(context=40_960, concurrency=8))
    found = {alternative["what"]: alternative for alternative in caught.value.data["alternatives"]}
    shorter = int(found["A shorter context"]["options"][0].removeprefix("--context "))
    assert on_gpu(qwen3_8b(), 24, goal=Goal(context=shorter, concurrency=8)).concurrency == 8
    with pytest.raises(DoesNotFitError):
        on_gpu(qwen3_8b(), 24, goal=Goal(context=shorter + 1024, concurrency=8))
    assert any("Test GPU" in what for what in found)


def test_a_quantised_variant_is_proposed_with_its_repository() -> None:
    variant = Source(format="safetensors", repo="org/llama-FP8", size_bytes=70 * GIB)
    with pytest.raises(DoesNotFitError) as caught:
        on_gpu(replace(BIG, variants=(variant,)), 100)
    assert any("org/llama-FP8" in alternative["what"] for alternative in caught.value.data["alternatives"])


def test_more_machines_hold_what_one_does_not() -> None:
    huge = replace(BIG, weight_bytes=900 * GIB, tensors=())
    huge = shaped(huge)
    with pytest.raises(DoesNotFitError) as caught:
        on_gpu(huge, 80, count=8)
    assert "--nodes 2" in [option for found in caught.value.data["alternatives"] for option in found["options"]]
    plan = on_gpu(huge, 80, count=8, goal=Goal(nodes=2))
    assert (plan.nodes, plan.tensor_parallel, plan.pipeline_parallel) == (2, 8, 2)
    assert flag(plan, "--nnodes") == "2"


def test_gpus_that_others_use_and_unbalanced_groups_are_avoided() -> None:
    machine = gpus(4, total_gib=80)
    cards = (replace(machine.gpus[0], free_bytes=10 * GIB), *machine.gpus[1:])
    plan = choose(llama_8b(), replace(machine, gpus=cards), Goal(), engine="sglang", reason="")
    assert plan.uuids != ("GPU-0",)
    with pytest.raises(DoesNotFitError):  # SGLang refuses groups whose free memory differs by more than a tenth
        choose(BIG, replace(machine, gpus=cards), Goal(gpus=4), engine="sglang", reason="")


def test_a_fixed_fraction_is_kept_and_a_hopeless_one_says_the_least() -> None:
    plan = on_gpu(llama_8b(), 80, goal=Goal(fixed=(("--mem-fraction-static", "0.7"),)))
    assert flag(plan, "--mem-fraction-static") == "0.7"
    with pytest.raises(DoesNotFitError) as caught:
        on_gpu(BIG, 160, goal=Goal(fixed=(("mem_fraction_static", "0.7"),)))
    least = caught.value.data["minimum_mem_fraction_static"]
    assert f"{least:.4f}" in (caught.value.hint or "")
    assert on_gpu(BIG, 160, goal=Goal(fixed=(("mem_fraction_static", str(least + 0.01)),))).kv_tokens > 0


def test_a_fixed_size_that_the_model_cannot_take_is_refused_with_its_reason() -> None:
    with pytest.raises(UsageError, match="32 attention heads cannot be split 3 ways"):
        on_gpu(llama_8b(), 80, count=4, goal=Goal(fixed=(("tp", "3"),)))


def test_settings_that_the_planner_does_not_know_are_passed_on() -> None:
    plan = on_gpu(
        llama_8b(), 80, goal=Goal(fixed=(("attention_backend", "triton"), ("disable_overlap_schedule", "true")))
    )
    assert flag(plan, "--attention-backend") == "triton"
    assert any(given.name == "--disable-overlap-schedule" and given.value is None for given in plan.flags)


@given(
    heads=st.sampled_from([8, 12, 14, 28, 32, 40, 64]),
    kv=st.sampled_from([1, 2, 4, 7, 8, 10]),
    width=st.sampled_from([1408, 4864, 11_008, 14_336, 18_944]),
    block=st.sampled_from([None, 64, 128]),
    aim=st.sampled_from(["latency", "throughput", "fit", None]),
    count=st.integers(min_value=1, max_value=8),
)
def test_a_plan_never_violates_a_constraint(
    heads: int, kv: int, width: int, block: int | None, aim: Objective | None, count: int
) -> None:
    model = llama_8b(heads=heads, kv_heads=kv, intermediate_size=width, weight_block=block, weight_bytes=30 * GIB)
    try:
        plan = on_gpu(model, 48, count=count, goal=Goal(objective=aim))
    except DoesNotFitError:
        return
    sizes = Arrangement(
        tensor_parallel=plan.tensor_parallel, pipeline_parallel=plan.pipeline_parallel,
        attention_data_parallel=plan.attention_data_parallel, expert_parallel=plan.expert_parallel,
    )  # fmt: skip
    assert heads % plan.tensor_parallel == 0
    assert kv % plan.tensor_parallel == 0 or plan.tensor_parallel % kv == 0
    assert plan.tensor_parallel == 1 or not block or width // plan.tensor_parallel % block == 0
    assert violation(model, sizes) is None
    assert len(plan.gpus) == plan.tensor_parallel * plan.pipeline_parallel * plan.data_parallel


@given(total=st.floats(min_value=17, max_value=290), more=st.floats(min_value=0, max_value=40))
def test_a_larger_card_never_gives_a_smaller_pool(total: float, more: float) -> None:
    def tokens(size: float) -> int:
        try:
            return on_gpu(qwen3_8b(), size).kv_tokens
        except DoesNotFitError:
            return 0

    assert tokens(total + more) >= tokens(total)
