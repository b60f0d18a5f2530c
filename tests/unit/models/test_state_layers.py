from __future__ import annotations

from typing import Any

import pytest

from llmserve.models.architecture import from_config
from llmserve.models.layers import AttentionLayers, StateLayers
from tests.unit.models.layouts import BASE, heads, latent, read


def test_gated_delta_net() -> None:
    linear = {
        "linear_num_value_heads": 32, "linear_num_key_heads": 16, "linear_key_head_dim": 64,
        "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    }  # fmt: skip
    state = StateLayers(
        layers=9, kind="gdn", inner=4096, groups=16, heads=32, head_dim=128, state_dim=64, kernel=4, dtype="bfloat16"
    )
    shape = read("qwen3_next", **linear, full_attention_interval=4, mamba_ssm_dtype="bfloat16")
    assert shape.cache == (heads(3, 4, 128), state)
    assert read("qwen3_next", **linear, mamba_ssm_dtype="float8").cache[1] == StateLayers(
        layers=9, kind="gdn", inner=4096, groups=16, heads=32, head_dim=128, state_dim=64, kernel=4
    )


def kda(layers: int, heads: int = 32) -> StateLayers:
    return StateLayers(
        layers=layers, kind="kda", inner=heads * 128, groups=heads, heads=heads, head_dim=128, state_dim=128, kernel=4
    )


def test_kimi_counts_layers_from_one_and_glm_from_zero() -> None:
    rank = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
    section = {
        "kda_layers": [1, 2, 3, 12], "full_attn_layers": [4, 5, 6, 7, 8, 9, 10, 11], "num_heads": 32, "head_dim": 128,
        "short_conv_kernel_size": 4,
    }  # fmt: skip
    assert read("kimi_linear", **rank, linear_attn_config=section).cache == (latent(8), kda(4))
    zero = section | {"kda_layers": [0, 1, 2]}
    assert read("glm5_next_text", **rank, linear_attn_config=zero).cache == (latent(9), kda(3))


def test_ling_has_lightning_attention_or_kimis() -> None:
    rank = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "layer_group_size": 4}
    lightning = StateLayers(layers=9, kind="lightning", heads=16, head_dim=128, state_dim=128)
    assert read("bailing_hybrid", **rank).cache == (latent(3), lightning)
    assert read("bailing_hybrid", **rank, short_conv_kernel_size=4).cache == (latent(3), kda(9, 16))
    listed = rank | {"layer_group_size": [1, 1, 0] * 4}
    assert [group.layers for group in read("bailing_hybrid", **listed).cache] == [4, 8]


def test_minimax_lists_zeros_and_ones() -> None:
    shape = read("minimax_text_01", attn_type_list=[0, 0, 1] * 4)
    assert shape.cache == (
        heads(4, 4, 128), StateLayers(layers=8, kind="lightning", heads=16, head_dim=128, state_dim=128),
    )  # fmt: skip


def test_falcon_h1_has_attention_and_mamba_in_every_layer() -> None:
    shape = read(
        "falcon_h1", mamba_d_ssm=3072, mamba_n_heads=48, mamba_d_head=64, mamba_n_groups=1, mamba_d_state=256,
        mamba_d_conv=4, mamba_expand=2,
    )  # fmt: skip
    assert shape.cache == (
        heads(12, 4, 128),
        StateLayers(
            layers=12, kind="mamba2", inner=3072, groups=1, heads=48, head_dim=64, state_dim=256, kernel=4
        ),
    )  # fmt: skip


GRANITE: dict[str, Any] = {
    "mamba_n_heads": 64, "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_d_state": 128, "mamba_d_conv": 4,
    "mamba_expand": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        ("granitemoehybrid", {"layer_types": ["mamba"] * 10 + ["attention"] * 2}),
        ("granitemoehybrid", {}),
        ("bamba", {"attn_layer_indices": [3, 9], "mamba_d_head": "auto"}),
        ("nemotron_h", {"hybrid_override_pattern": "M" * 10 + "**"}),
        ("nemotron_h", {"layers_block_type": ["linear_attention"] * 10 + ["full_attention"] * 2}),
        ("granitemoehybrid", {"layer_types": ["linear_attention"] * 10 + ["full_attention"] * 2}),
    ],
)
def test_the_same_hybrid_in_many_spellings(model_type: str, fields: Any) -> None:
    shape = read(model_type, **(GRANITE | fields))
    state = StateLayers(layers=10, kind="mamba2", inner=4096, groups=1, heads=64, head_dim=64, state_dim=128, kernel=4)
    assert shape.cache == (heads(2, 4, 128), state)
    assert shape.familiar


def test_the_pattern_may_be_all_that_tells_the_number_of_layers() -> None:
    config = {name: value for name, value in BASE.items() if name != "num_hidden_layers"}
    shape = from_config(config | {"model_type": "nemotron_h", "hybrid_override_pattern": "M-*E"} | GRANITE, "x")
    assert (shape.layers, [group.layers for group in shape.cache]) == (4, [1, 1])


def test_jamba_convolves_only_its_channels() -> None:
    shape = read(
        "jamba", attn_layer_period=4, attn_layer_offset=2, mamba_d_state=16, mamba_d_conv=4, mamba_expand=2
    )  # fmt: skip
    assert shape.cache == (
        heads(3, 4, 128),
        StateLayers(layers=9, kind="mamba1", inner=4096, heads=4096, head_dim=1, state_dim=16, kernel=4),
    )


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mamba", "num_hidden_layers": 24, "hidden_size": 768, "state_size": 16, "expand": 2},
        {"d_model": 768, "n_layer": 24, "ssm_cfg": {}},
    ],
)
def test_pure_mamba_has_no_heads(config: Any) -> None:
    shape = from_config(config | {"vocab_size": 50280}, "x")
    assert shape.cache == (
        StateLayers(layers=24, kind="mamba1", inner=1536, heads=1536, head_dim=1, state_dim=16, kernel=4),
    )
    assert (shape.heads, shape.kv_heads, shape.head_dim) == (0, 0, 0)


def test_pure_mamba2_calls_its_own_heads_heads() -> None:
    config = {
        "model_type": "mamba2", "num_hidden_layers": 64, "hidden_size": 4096, "num_heads": 128, "head_dim": 64,
        "state_size": 128, "n_groups": 8, "conv_kernel": 4, "expand": 2, "vocab_size": 32768,
    }  # fmt: skip
    shape = from_config(config, "x")
    assert shape.cache == (
        StateLayers(layers=64, kind="mamba2", inner=8192, groups=8, heads=128, head_dim=64, state_dim=128, kernel=4),
    )
    assert (shape.heads, shape.head_dim) == (0, 0)


def test_jet_nemotron() -> None:
    block = {"num_heads": 6, "head_dim": 256, "expand_v": 2.0, "conv_size": 4}
    shape = read("jet_nemotron", layer_types=["jet", "attn"] * 6, efficient_attention_config={"jet": block})
    assert shape.cache[1] == StateLayers(
        layers=6, kind="gdn", inner=3072, groups=6, heads=6, head_dim=512, state_dim=256, kernel=4
    )


def test_the_state_of_an_unknown_architecture_is_guessed() -> None:
    shape = read("novel", layer_types=["linear_attention", "full_attention"] * 6)
    assert not shape.familiar
    assert isinstance(shape.cache[0], AttentionLayers)
    assert shape.cache[1] == StateLayers(
        layers=6, kind="linear", inner=2048, heads=16, head_dim=128, state_dim=128, kernel=4
    )
