"""What no plan can do: engines on systems that they do not run on, host memory that is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware import load
from llmserve.models.layers import AttentionLayers, StateLayers
from llmserve.models.model import Candidate, Source
from llmserve.plan.choose import choose, choose_engine
from llmserve.plan.plan import Goal
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
