from __future__ import annotations

from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.architecture import Architecture, from_config
from llmserve.models.layers import AttentionLayers, CacheLayers, CompressedLayers, LatentLayers, StateLayers
from tests.unit.models.layouts import heads, latent, read
from tests.unit.models.recorded import config


def delta(layers: int, value_heads: int) -> StateLayers:
    return StateLayers(
        layers=layers, kind="gdn", inner=value_heads * 128, groups=16, heads=value_heads, head_dim=128, state_dim=128,
        kernel=4,
    )  # fmt: skip


def mamba(layers: int, count: int) -> StateLayers:
    return StateLayers(
        layers=layers, kind="mamba2", inner=count * 64, groups=8, heads=count, head_dim=64, state_dim=128, kernel=4
    )


RECORDED: dict[str, set[CacheLayers]] = {
    "meta-llama/Llama-3.1-8B": {heads(32, 8, 128)},
    "google/gemma-2b": {heads(18, 1, 256)},
    "meta-llama/Llama-2-7b-chat-hf": {heads(32, 32, 128)},
    "Qwen/Qwen2.5-0.5B-Instruct": {heads(24, 2, 64)},
    "Qwen/Qwen3-VL-8B-Instruct": {heads(36, 8, 128)},
    "mistralai/Mistral-7B-Instruct-v0.1": {heads(32, 8, 128, 4096)},
    "mistralai/Mistral-7B-Instruct-v0.3": {heads(32, 8, 128)},
    "microsoft/Phi-4-mini-instruct": {heads(32, 8, 128)},
    "google/gemma-2-9b-it": {heads(21, 8, 256, 4096), heads(21, 8, 256)},
    "google/gemma-3-1b-it": {heads(22, 1, 256, 512), heads(4, 1, 256)},
    "google/gemma-3-27b-it": {heads(52, 16, 128, 1024), heads(10, 16, 128)},
    "google/gemma-4-26B-A4B": {heads(25, 8, 256, 1024), heads(5, 2, 512)},
    "nvidia/Gemma-4-31B-IT-NVFP4": {heads(50, 16, 256, 1024), heads(10, 4, 512)},
    "openai/gpt-oss-120b": {heads(18, 8, 64, 128), heads(18, 8, 64)},
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": {heads(36, 8, 128, 8192), heads(12, 8, 128)},
    "docs-llama32-11b-vision-2025-03-capped": {heads(40, 8, 128)},
    "deepseek-ai/DeepSeek-V2-Lite": {latent(27)},
    "deepseek-ai/DeepSeek-R1": {latent(61)},
    "moonshotai/Kimi-K2.5": {latent(61)},
    "deepseek-ai/DeepSeek-V3.2": {latent(61, index_dim=128, index_layers=61)},
    "zai-org/GLM-5": {latent(78, index_dim=128, index_layers=78)},
    "Qwen/Qwen3.5-27B": {heads(16, 4, 256), delta(48, 48)},
    "nvidia/Qwen3.6-35B-A3B-NVFP4": {heads(10, 2, 256), delta(30, 32)},
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": {heads(6, 2, 128), mamba(23, 64)},
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4": {heads(8, 2, 128), mamba(40, 128)},
    "lfm2-700m-16gb-2025-12": {heads(6, 8, 64), StateLayers(layers=10, kind="conv", inner=1536, kernel=3)},
    "minicpm-sala-2026-04": {
        heads(8, 2, 128), StateLayers(layers=24, kind="lightning", heads=32, head_dim=128, state_dim=128),
    },
    "ling3-2026-08-bf16-1xgpu": {
        latent(6),
        StateLayers(
            layers=18, kind="kda", inner=2048, groups=16, heads=16, head_dim=128, state_dim=128, kernel=4
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_published_models(name: str) -> None:
    assert set(from_config(config(name), name).cache) == RECORDED[name]


def test_deepseek_v4_names_the_layers_of_its_draft_too() -> None:
    shape = from_config(config("deepseek-ai/DeepSeek-V4-Flash"), "x")
    assert shape.cache == (
        CompressedLayers(ratios=(0, 0, *(4, 128) * 20, 4), head_dim=512, rope_dim=64, index_dim=128, window=128),
    )
    assert (shape.layers, shape.cache[0].layers, shape.mtp_layers, shape.familiar) == (43, 43, 1, True)


def test_deepseek_v4_may_name_its_layers_in_words() -> None:
    words = ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"]
    shape = read("deepseek_v4", num_hidden_layers=3, layer_types=words, head_dim=512, sliding_window=128)
    assert isinstance(shape.cache[0], CompressedLayers)
    assert (shape.cache[0].ratios, shape.familiar) == ((0, 4, 128), True)


def test_ratios_of_later_versions_are_not_familiar() -> None:
    shape = read("deepseek_v4", num_hidden_layers=2, compress_ratios=[1, 2], sliding_window=128)
    assert not shape.familiar


def plain_bytes(shape: Architecture, tensor_parallel: int) -> int:
    """Bytes per token and GPU with every layer kept in full, two bytes per number."""
    total = 0
    for group in shape.cache:
        if isinstance(group, AttentionLayers):
            kept = max(1, group.kv_heads // tensor_parallel)
            total += group.layers * kept * (group.key_dim + group.value_dim) * 2
        elif isinstance(group, LatentLayers):
            total += group.layers * (group.latent_dim + group.rope_dim) * 2
    return total


@pytest.mark.parametrize(
    ("name", "tensor_parallel", "logged"),
    [
        ("meta-llama/Llama-3.1-8B", 1, 131_071.4),
        ("meta-llama/Llama-3.2-1B", 1, 32_772.8),
        ("meta-llama/Llama-2-7b-chat-hf", 1, 524_288.0),
        ("docs-llama32-11b-vision-2025-03-capped", 1, 163_577.9),
        ("Qwen/Qwen3-14B", 4, 40_942.6),
        ("Qwen/Qwen3-32B", 2, 131_095.2),
        ("Qwen/Qwen3-30B-A3B", 1, 98_306.4),
        ("Qwen/Qwen3-235B-A22B-FP8", 4, 48_680.9),
        ("Qwen/Qwen2.5-0.5B-Instruct", 1, 12_286.9),
        ("microsoft/phi-4", 1, 204_791.9),
        ("moonshotai/Kimi-K2.5", 8, 70_271.2),
        ("qwen3.8-27b-fp8-h100-2026-08", 1, 65_531.7),
        ("qwen3.5-4b-h200-2026-08", 1, 32_763.5),
        ("qwen3.5-9b-tp2-24gb-2026-04", 2, 16_402.5),
        ("lfm2-700m-16gb-2025-12", 1, 12_281.6),
        ("minicpm-sala-2026-04", 1, 8_193.4),
        ("ling3-2026-08-bf16-1xgpu", 1, 6_913.3),
        ("embeddinggemma-300m-mi350x", 1, 24_575.7),
    ],
)
def test_bytes_per_token_are_what_engines_logged(name: str, tensor_parallel: int, logged: float) -> None:
    assert plain_bytes(from_config(config(name), name), tensor_parallel) == pytest.approx(logged, rel=0.012)


def test_windowed_layers_of_their_own_shape() -> None:
    mimo = read(
        "mimo_v2_flash", hybrid_layer_pattern=[0, 1, 1, 1] * 3, head_dim=192, v_head_dim=128, swa_head_dim=192,
        swa_v_head_dim=128, swa_num_key_value_heads=8, sliding_window=128,
    )  # fmt: skip
    assert mimo.cache == (heads(3, 4, 192, value_dim=128), heads(9, 8, 192, 128, value_dim=128))
    assert (mimo.kv_heads, mimo.head_dim) == (4, 192)
    step = read(
        "step3p5", layer_types=(["full_attention"] + ["sliding_attention"] * 3) * 3 + ["sliding_attention"] * 2,
        num_nextn_predict_layers=2, attention_other_setting={"num_attention_groups": 8, "head_dim": 64},
        sliding_window=512, num_key_value_heads=None, num_attention_groups=2,
    )  # fmt: skip
    assert step.cache == (heads(3, 2, 128), heads(9, 8, 64, 512))


GEMMA4: dict[str, Any] = {
    "model_type": "gemma4_text", "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 2,
    "sliding_window": 1024,
}  # fmt: skip


def test_gemma4_gives_its_global_layers_another_shape() -> None:
    wide = read(**GEMMA4, global_head_dim=512, attention_k_eq_v=True, num_global_key_value_heads=2)
    assert wide.cache == (heads(10, 4, 128, 1024), heads(2, 2, 512))
    assert (wide.kv_heads, wide.head_dim) == (2, 512)
    same = read(**GEMMA4, global_head_dim=512, attention_k_eq_v=False, num_global_key_value_heads=2)
    assert same.cache == (heads(10, 4, 128, 1024), heads(2, 4, 512))
    listed = read(
        **GEMMA4, per_layer_config={"05": {"head_dim": 512}, "11": {"head_dim": 512, "num_key_value_heads": 1}}
    )
    assert listed.cache == (heads(10, 4, 128, 1024), heads(1, 4, 512), heads(1, 1, 512))


def test_the_last_layers_may_share_the_cache_of_earlier_ones() -> None:
    shape = read(**GEMMA4, global_head_dim=512, num_kv_shared_layers=4)
    assert shape.cache == (heads(10, 4, 128, 1024, shares=3), heads(2, 4, 512, shares=1))


@pytest.mark.parametrize(
    ("fields", "layers"),
    [
        ({}, 12),
        ({"index_topk_freq": 4}, 4),
        ({"index_topk_freq": 4, "index_skip_topk_offset": 4}, 6),
        ({"index_topk_pattern": "FSSFSS"}, 8),
        ({"indexer_types": ["full", "shared", "shared"] * 4}, 4),
        ({"cli_factor": 3}, 4),
    ],
)
def test_some_layers_reuse_the_index_of_the_layer_before(fields: Any, layers: int) -> None:
    sparse = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_topk": 2048, "index_head_dim": 128}
    assert read("glm_moe_dsa", **sparse, **fields).cache == (latent(12, index_dim=128, index_layers=layers),)


def test_other_forms_of_latent_attention() -> None:
    rank = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
    assert read("longcat_flash", **rank).cache == (latent(24),)
    assert read("deepseek_v2", **rank, use_mla=False).cache == (heads(12, 4, 128),)
    assert read("deepseek_v2", kv_lora_rank=None).cache == (heads(12, 4, 128),)
    assert read("bailing_moe_v3", **rank, use_mla_nope=True).cache == (latent(12, rope_dim=0),)
    words = ["full_attention", "sliding_attention"] * 6
    dots = read("dots3", **rank, layer_types=words, swa_kv_lora_rank=256, sliding_window_size=512)
    assert dots.cache == (latent(6), LatentLayers(layers=6, latent_dim=256, rope_dim=64, window=512))


def test_older_ways_to_say_how_many_heads_keep_keys() -> None:
    assert read("falcon", multi_query=True, num_kv_heads=16).cache == (heads(12, 1, 128),)
    assert read("falcon", multi_query=True, new_decoder_architecture=True, num_kv_heads=8).cache == (heads(12, 8, 128),)
    assert read("mpt", attn_config={"kv_n_heads": 2}).cache == (heads(12, 2, 128),)
    assert read("openelm", num_key_value_heads=None, num_kv_heads=[2] * 6 + [4] * 6).cache == (
        heads(6, 2, 128), heads(6, 4, 128),
    )  # fmt: skip


def test_layers_without_attention_keep_nothing() -> None:
    blocks = [{"attention": {"no_op": True}}, {"attention": {"n_heads_in_group": 8}}, {"attention": {}}] * 4
    assert read("nemotron-nas", block_configs=blocks).cache == (heads(4, 2, 128), heads(4, 16, 128))


def test_loops_run_through_the_same_layers_again() -> None:
    assert read("iquestloopcoder", loop_num=2).cache == (heads(24, 4, 128),)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"layer_types": ["full_attention"] * 3}, "layer_types"),
        ({"layer_types": [1] * 12}, "layer_types"),
        ({"layer_types": "full"}, "layer_types"),
        ({"layer_types": 7}, "layer_types"),
        ({"num_key_value_heads": [8, 4, 8]}, "num_key_value_heads"),
        ({"num_key_value_heads": [4] * 11 + ["4"]}, "num_key_value_heads"),
        ({"num_key_value_heads": 32}, "more heads for keys"),
        ({"num_kv_shared_layers": 13}, "num_kv_shared_layers"),
        ({"sliding_window": -1}, "sliding_window"),
        ({"sliding_window": "4096"}, "sliding_window"),
        ({"hybrid_override_pattern": "M*X" * 4}, "hybrid_override_pattern"),
        ({"hybrid_override_pattern": "M*"}, "hybrid_override_pattern"),
        ({"compress_ratios": [4, -1] * 6}, "compress_ratios"),
        ({"compress_ratios": [4, 128]}, "compress_ratios"),
        ({"kv_lora_rank": 512}, "qk_rope_head_dim"),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_topk": 8}, "index_head_dim"),
        ({"kv_lora_rank": -512, "qk_rope_head_dim": 64}, "kv_lora_rank"),
        ({"linear_attn_config": {"kda_layers": [13]}}, "kda_layers"),
        ({"local_layer_ids": [12]}, "local_layer_ids"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
    ],
)
def test_nonsense_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(LlmserveError, match=f"config.json .*{named}") as caught:
        read("novel", **fields)
    assert caught.value.code == "broken_checkpoint"
