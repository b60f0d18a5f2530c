"""The first planner: right on plain grouped-query attention, and clear when something does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.models.model import Candidate, Model, Source
from llmserve.plan import explain
from llmserve.plan.choose import choose, choose_engine
from llmserve.plan.kv_cache import kv_bytes_per_token
from llmserve.plan.plan import Goal, Plan
from tests.fakes.machines import GIB, gpus, laptop, llama_8b, qwen3_8b, small_gguf


def on_gpu(
    model: Model, machine_gib: float, count: int = 1, goal: Goal | None = None, free: float | None = None
) -> Plan:
    machine = gpus(count, total_gib=machine_gib, free_gib=free)
    return choose(model, machine, goal or Goal(), engine="sglang", reason="there is a GPU")


def flag(plan: Plan, name: str) -> str | None:
    return next((flag.value for flag in plan.flags if flag.name == name), None)


@pytest.mark.parametrize(
    ("model", "tp", "expected"),
    [
        (llama_8b(), 1, 131_072),
        (qwen3_8b(), 1, 147_456),
        (llama_8b(layers=80, heads=64), 4, 81_920),  # Llama-3.1-70B
        (llama_8b(layers=80, heads=64), 8, 40_960),
        (llama_8b(layers=80, heads=64), 16, 40_960),  # a GPU keeps at least one KV head
    ],
)
def test_kv_bytes_per_token_equal_what_sglang_logs(model: Model, tp: int, expected: int) -> None:
    assert kv_bytes_per_token(model, tensor_parallel=tp) == expected


def test_a_24_gb_card_gets_the_tokens_that_fit_not_the_7000_of_the_engine_default() -> None:
    plan = on_gpu(qwen3_8b(), 23.99, free=23.55)
    assert 33_000 < plan.kv_tokens < 40_000
    assert plan.context <= plan.kv_tokens
    assert plan.context < 40_960
    assert any("Context lowered from 40,960" in note for note in plan.notes)
    assert flag(plan, "--cuda-graph-backend-prefill") == "disabled"
    assert 0.86 < float(flag(plan, "--mem-fraction-static") or 0) < 0.9


def test_tensor_parallel_is_the_fewest_gpus_that_hold_the_model() -> None:
    big = llama_8b(layers=80, heads=64, hidden_size=8192, weight_bytes=141_107_412_992)
    assert on_gpu(llama_8b(), 80).tensor_parallel == 1
    assert on_gpu(big, 78, count=8).tensor_parallel == 4  # two hold the weights, and hardly any context
    assert on_gpu(big, 78, count=2).tensor_parallel == 2
    assert on_gpu(big, 141, count=8).tensor_parallel == 2
    assert flag(on_gpu(big, 78, count=8), "--tp-size") == "4"


def test_heads_that_do_not_divide_rule_a_size_out() -> None:
    odd = llama_8b(heads=28, kv_heads=4, weight_bytes=100 * GIB)
    assert on_gpu(odd, 80, count=8).tensor_parallel == 2
    assert on_gpu(odd, 40, count=8).tensor_parallel == 4
    with pytest.raises(DoesNotFitError):
        on_gpu(odd, 20, count=8)  # 8 does not divide 28


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


def test_a_laptop_keeps_half_of_its_free_memory_unless_asked() -> None:
    model = small_gguf(context_length=1_000_000, kv_heads=14, head_dim=128)
    cell = kv_bytes_per_token(model)
    plan = choose(model, laptop(), Goal(), engine="llamacpp", reason="")
    not_kv = sum(share.size_bytes for share in plan.ledger if share.name in ("unused", "prompt cache"))
    assert not_kv >= plan.kv_tokens * cell
    asked = choose(model, laptop(), Goal(context=50_000), engine="llamacpp", reason="")
    assert asked.context == 50_000


def test_llamacpp_shares_its_context_out_evenly() -> None:
    plan = choose(small_gguf(), laptop(), Goal(), engine="llamacpp", reason="")
    assert flag(plan, "--ctx-size") == str(plan.context * plan.concurrency) == str(plan.kv_tokens)
    assert flag(plan, "--parallel") == str(plan.concurrency)
    assert plan.kv_band == (plan.kv_tokens, plan.kv_tokens)


def test_sglang_on_a_cpu_caps_its_tokens() -> None:
    plan = choose(small_gguf(), laptop(), Goal(context=2048, concurrency=4), engine="sglang", reason="")
    assert plan.device == "cpu"
    assert flag(plan, "--max-total-tokens") == "8192"


def test_unknown_attention_is_planned_and_said() -> None:
    plan = on_gpu(llama_8b(attention="other", architecture="DeepseekV3ForCausalLM"), 80)
    assert any("upper bound" in note for note in plan.notes)


def test_the_text_of_a_plan_names_every_flag_with_a_reason() -> None:
    plan = on_gpu(llama_8b(), 80)
    text = explain.describe(plan)
    assert all(flag.name in text and flag.reason in text for flag in plan.flags)
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
