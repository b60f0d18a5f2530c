"""What no plan can do: engines on systems that they do not run on, host memory that is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware import load
from llmserve.models.layers import AttentionLayers, Experts, StateLayers
from llmserve.models.model import Candidate, Model, Source
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.choose import choose, choose_engine
from llmserve.plan.parallel import violation
from llmserve.plan.plan import Goal, Plan
from llmserve.plan.sglang import rules
from tests.fakes.machines import GIB, gpus, laptop, llama_8b

BOTH = (Source(format="safetensors", repo="o/n"), Source(format="gguf", repo="o/g"))


def test_sglang_is_for_linux() -> None:
    candidate = Candidate(ref="m", name="m", sources=BOTH)
    with pytest.raises(UsageError, match="Linux only"):
        choose_engine(candidate, load("m3-max"), wish="sglang")
    assert choose_engine(candidate, load("m3-max"))[0] == "llamacpp"
    assert choose_engine(candidate, laptop(), wish="sglang")[0] == "sglang"


def test_host_memory_for_a_cache_is_counted() -> None:
    machine = gpus(1, total_gib=80)
    plan = choose(llama_8b(), machine, Goal(host_cache_bytes=64 * GIB), engine="sglang", reason="")
    assert {flag.name: flag.value for flag in plan.flags}["--hicache-size"] == "68"  # SGLang counts in GB
    small = replace(machine, ram_available_bytes=40 * GIB)
    with pytest.raises(DoesNotFitError, match="of host memory were asked for"):
        choose(llama_8b(), small, Goal(host_cache_bytes=64 * GIB), engine="sglang", reason="")


@pytest.mark.parametrize(
    ("architecture", "lacks"),
    [("LlamaForCausalLM", None), ("Qwen3MoeForCausalLM", None), ("GptOssForCausalLM", "attention with sinks")],
)
def test_what_a_cpu_lacks_is_known(architecture: str, lacks: str | None) -> None:
    assert rules.lacks_on_cpu(llama_8b(architecture=architecture)) == lacks


def test_linear_attention_needs_a_gpu() -> None:
    states = StateLayers(layers=3, kind="gdn", inner=64, groups=2, heads=4, head_dim=16, state_dim=16, kernel=4)
    full = AttentionLayers(layers=1, kv_heads=2, key_dim=64, value_dim=64)
    assert rules.lacks_on_cpu(llama_8b(cache=(full, states))) == "linear attention"


def on(arch: str, model: Model, *fixed: tuple[str, str], count: int = 1, total_gib: float = 80) -> Plan:
    machine = gpus(count, total_gib=total_gib)
    machine = replace(machine, gpus=tuple(replace(gpu, arch=arch) for gpu in machine.gpus))
    return choose(model, machine, Goal(fixed=fixed), engine="sglang", reason="")


def test_a_quantisation_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="quantised by 'superquant9'"):
        on("sm_90", llama_8b(quantization="superquant9"))


def test_a_gpu_may_be_too_old_for_a_quantisation() -> None:
    assert on("sm_80", llama_8b(quantization="fp8")).kv_tokens
    with pytest.raises(DoesNotFitError, match="needs compute capability 8"):
        on("sm_75", llama_8b(quantization="fp8"))


def test_gpus_before_turing_are_not_used() -> None:
    machine = gpus(1, total_gib=32)
    old = replace(machine, gpus=(replace(machine.gpus[0], arch="sm_70"),))
    assert choose_engine(Candidate(ref="m", name="m", sources=BOTH), old) == ("llamacpp", "no usable GPU")


def test_mxfp4_experts_are_padded_and_other_groups_must_divide() -> None:
    experts = Experts(routed=32, active=4, intermediate_size=2880)
    oss = llama_8b(heads=64, intermediate_size=2880, experts=experts, quantization="mxfp4", group_size=32)
    assert violation(oss, Arrangement(tensor_parallel=8)) is None
    assert violation(replace(oss, quantization="awq"), Arrangement(tensor_parallel=8))


def test_fp8_blocks_must_fit_the_heads_of_a_gpu() -> None:
    narrow = llama_8b(head_dim=64, weight_block=128, quantization="fp8")
    assert "8 KV heads of 64 split 8 ways" in (violation(narrow, Arrangement(tensor_parallel=8)) or "")
    assert violation(narrow, Arrangement(tensor_parallel=4)) is None


@pytest.mark.parametrize(
    ("fixed", "says"),
    [
        (("weights_gib", "inf"), "weights_gib=inf is not possible"),
        (("before_load_gib", "500"), "before_load_gib=500 is not possible"),
        (("context_length", "10000000"), "10,000,000 were fixed"),
        (("disable_radix_cache", "maybe"), "must be true or false"),
        (("nnodes", "2"), "Use llmserve's own --nodes"),
        (("chunked_prefill_size", "0"), "is not possible"),
    ],
)
def test_pins_that_make_no_sense_are_refused(fixed: tuple[str, str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        on("sm_90", llama_8b(), fixed)
    assert says in f"{caught.value.message} {caught.value.hint}"


def test_a_cap_below_one_request_is_refused() -> None:
    cap = (("max_total_tokens", "1000"),)
    with pytest.raises(UsageError, match="less than one request of 1,024 tokens"):
        choose(llama_8b(), gpus(1, total_gib=80), Goal(fixed=cap), engine="sglang", reason="")
    short = choose(llama_8b(context_length=512), gpus(1, total_gib=80), Goal(fixed=cap), engine="sglang", reason="")
    assert short.kv_tokens == 1000


def test_a_fraction_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match="for graphs and activations"):
        on("sm_90", llama_8b(), ("mem_fraction_static", "0.999"))


def test_states_for_more_requests_than_run_are_left_out() -> None:
    states = StateLayers(layers=36, kind="gdn", inner=4096, groups=16, heads=32, head_dim=128, state_dim=128, kernel=4)
    full = AttentionLayers(layers=12, kv_heads=2, key_dim=256, value_dim=256)
    model = llama_8b(cache=(full, states), architecture="Qwen3NextForCausalLM", kv_heads=2, head_dim=256)
    plan = choose(model, gpus(1, total_gib=140), Goal(concurrency=8), engine="sglang", reason="")
    assert plan.predicted.state_slots == 10 * 5  # a quarter more requests than asked for, five states each
    assert {flag.name: flag.value for flag in plan.flags}["--max-mamba-cache-size"] == "50"


def test_what_is_missing_adds_up() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        choose(llama_8b(), gpus(1, total_gib=80), Goal(reserve_bytes=10_000 * GIB), engine="sglang", reason="")
    assert caught.value.data["missing_bytes"] > 9_900 * GIB


def test_fewer_requests_are_proposed_at_the_context_that_was_asked_for() -> None:
    machine = gpus(1, total_gib=80)
    with pytest.raises(DoesNotFitError) as caught:
        choose(llama_8b(), machine, Goal(context=8192, concurrency=5000), engine="sglang", reason="")
    fewer = next(a for a in caught.value.data["alternatives"] if a["what"] == "Fewer requests")
    count = int(fewer["options"][0].removeprefix("--concurrency "))
    assert count > 30
    assert choose(llama_8b(), machine, Goal(context=8192, concurrency=count), engine="sglang", reason="").kv_tokens
