from __future__ import annotations

from typing import Any

import pytest

from llmserve.models.architecture import from_config
from llmserve.models.layers import Experts
from tests.unit.models.layouts import read
from tests.unit.models.recorded import config


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen3-14B", None),
        ("Qwen/Qwen3-30B-A3B", Experts(routed=128, active=8, intermediate_size=768)),
        ("Qwen/Qwen3.5-35B-A3B", Experts(routed=256, active=8, intermediate_size=512, shared=1)),
        ("mistralai/Mixtral-8x7B-v0.1", Experts(routed=8, active=2, intermediate_size=14336)),
        ("openai/gpt-oss-20b", Experts(routed=32, active=4, intermediate_size=2880)),
        (
            "deepseek-ai/DeepSeek-V2-Lite",
            Experts(routed=64, active=6, intermediate_size=1408, shared=2, dense_layers=1),
        ),
        ("deepseek-ai/DeepSeek-V3", Experts(routed=256, active=8, intermediate_size=2048, shared=1, dense_layers=3)),
        (
            "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
            Experts(routed=128, active=1, intermediate_size=8192, shared=1, dense_layers=24),
        ),
        ("google/gemma-4-26B-A4B", Experts(routed=128, active=0, intermediate_size=704)),
        (
            "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
            Experts(routed=128, active=6, intermediate_size=1856, shared=1, dense_layers=29),
        ),
    ],
)
def test_published_models(name: str, expected: Experts | None) -> None:
    assert from_config(config(name), name).experts == expected


@pytest.mark.parametrize(
    "spelling",
    [
        {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 64},
        {"num_experts": 8, "num_experts_per_token": 2, "num_shared_experts": 1, "moe_intermediate_size": 64},
        {"num_local_experts": 8, "top_k_experts": 2, "shared_intermediate_size": 64, "intermediate_size": 64},
        {"moe_num_experts": 8, "moe_k": 2, "moe_num_shared_experts": 1, "moe_intermediate_size": 64},
        {"moe_num_experts": 8, "moe_top_k": 2, "share_expert_dims": 64, "moe_intermediate_size": 64},
        {"num_experts": 8, "moe_topk": [2, 2], "num_shared_expert": [1, 1], "moe_intermediate_size": [64, 64]},
        {"n_routed_experts": 8, "moe_topk": 2, "n_shared_experts": 1, "expert_ffn_hidden_size": 64},
    ],
)
def test_every_family_has_its_own_words(spelling: dict[str, Any]) -> None:
    assert read("novel", **spelling).experts == Experts(routed=8, active=2, intermediate_size=64, shared=1)


def test_dbrx_has_a_section() -> None:
    section = {"moe_num_experts": 16, "moe_top_k": 4, "ffn_hidden_size": 10752}
    assert read("dbrx", ffn_config=section).experts == Experts(routed=16, active=4, intermediate_size=10752)


@pytest.mark.parametrize("count", [0, 1, None])
def test_a_mixture_of_one_is_none(count: int | None) -> None:
    assert read("granitemoehybrid", num_local_experts=count, layer_types=["full_attention"] * 12).experts is None


@pytest.mark.parametrize(
    ("fields", "dense"),
    [
        ({}, 0),
        ({"first_k_dense_replace": 3}, 3),
        ({"first_k_dense_replace": 1, "moe_layer_freq": 2}, 7),
        ({"moe_layer_freq": [0, 1, 1] * 4}, 4),
        ({"decoder_sparse_step": 2, "mlp_only_layers": [1, 3]}, 8),
        ({"interleave_moe_layer_step": 4}, 9),
        ({"mlp_layer_types": ["dense"] * 2 + ["sparse"] * 10}, 2),
        ({"mlp_layer_types": ["hash_moe"] * 3 + ["moe"] * 9}, 0),
        ({"moe_layers_enum": "3,4,5,6"}, 8),
        ({"moe_layers": [1, 5]}, 10),
        ({"num_dense_layers": 2}, 2),
        ({"expert_layer_period": 2, "expert_layer_offset": 1}, 6),
        ({"moe_layer_start_index": 1, "moe_layer_interval": 1}, 1),
        ({"hybrid_override_pattern": "ME*" * 4, "mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 8}, 8),
        ({"mlp_only_layers": "none"}, 0),
    ],
)
def test_layers_without_experts(fields: dict[str, Any], dense: int) -> None:
    found = read("novel", num_experts=8, moe_intermediate_size=64, **fields).experts
    assert found is not None
    assert found.dense_layers == dense
