from __future__ import annotations

from typing import Any

import pytest

from llmserve.models.layers import AttentionLayers, StateLayers
from tests.unit.models.layouts import gguf, heads, latent


@pytest.mark.parametrize(
    ("architecture", "fields", "expected"),
    [
        ("llama", {"attention.sliding_window": 512}, {None: 12}),
        ("phi3", {"attention.sliding_window": 512}, {None: 12}),
        ("gemma2", {"attention.sliding_window": 512}, {512: 6, None: 6}),
        ("gemma3", {"attention.sliding_window": 512}, {512: 10, None: 2}),
        ("gpt-oss", {"attention.sliding_window": 128}, {128: 6, None: 6}),
        ("gpt-oss", {"attention.sliding_window": 0}, {None: 12}),
        ("smallthinker", {"attention.sliding_window": 128}, {None: 3, 128: 9}),
        ("llama4", {}, {8192: 9, None: 3}),
        ("novel", {"attention.sliding_window": 64, "attention.sliding_window_pattern": 3}, {64: 8, None: 4}),
        (
            "gemma3n",
            {"attention.sliding_window": 64, "attention.sliding_window_pattern": (True, False) * 6},
            {64: 6, None: 6},
        ),
    ],
)
def test_windows(architecture: str, fields: dict[str, Any], expected: dict[int | None, int]) -> None:
    shape = gguf(architecture, block_count=12, **fields)
    found = {group.window: group.layers for group in shape.cache if isinstance(group, AttentionLayers)}
    assert found == expected


def test_windowed_layers_may_be_narrower_and_share() -> None:
    shape = gguf(
        "gemma4", block_count=6, attention__sliding_window=64, attention__sliding_window_pattern=(True,) * 5 + (False,),
        attention__key_length=512, attention__value_length=512, attention__key_length_swa=256,
        attention__value_length_swa=256, attention__head_count_kv=(4,) * 5 + (1,), attention__shared_kv_layers=2,
    )  # fmt: skip
    assert shape.cache == (heads(5, 4, 256, 64, shares=1), heads(1, 1, 512, shares=1))
    assert (shape.kv_heads, shape.head_dim) == (1, 512)


MLA: dict[str, Any] = {
    "attention.kv_lora_rank": 512, "attention.head_count_kv": 1, "attention.key_length": 576,
    "attention.value_length": 512, "attention.key_length_mla": 192, "attention.value_length_mla": 128,
    "rope.dimension_count": 64,
}  # fmt: skip


def test_latent_attention() -> None:
    shape = gguf("deepseek2", **MLA)
    assert shape.cache == (latent(2),)
    assert (shape.kv_heads, shape.head_dim) == (1, 192)
    sparse = gguf("glm-dsa", **MLA, attention__indexer__top_k=2048, attention__indexer__key_length=128)
    assert sparse.cache == (latent(2, index_dim=128, index_layers=2),)


def test_old_conversions_of_latent_attention_keep_all_heads() -> None:
    shape = gguf(
        "deepseek2", attention__kv_lora_rank=512, attention__head_count_kv=8, attention__key_length=192,
        attention__value_length=128,
    )  # fmt: skip
    assert shape.cache == (heads(2, 8, 192, value_dim=128),)


MIXER: dict[str, Any] = {
    "ssm.conv_kernel": 4, "ssm.inner_size": 4096, "ssm.state_size": 128, "ssm.time_step_rank": 32,
    "ssm.group_count": 16,
}  # fmt: skip


def mixer(layers: int, kind: str) -> StateLayers:
    return StateLayers(layers=layers, kind=kind, inner=4096, groups=16, heads=32, head_dim=128, state_dim=128, kernel=4)


@pytest.mark.parametrize(
    ("architecture", "fields", "expected"),
    [
        ("qwen3next", {}, (heads(2, 2, 32), mixer(6, "gdn"))),
        ("qwen35", {"full_attention_interval": 2}, (heads(4, 2, 32), mixer(4, "gdn"))),
        ("falcon-h1", {}, (heads(8, 2, 32), mixer(8, "mamba2"))),
        ("granitehybrid", {"attention.head_count_kv": (0, 0, 0, 2) * 2}, (heads(2, 2, 32), mixer(6, "mamba2"))),
        (
            "nemotron_h",
            {"attention.head_count_kv": (0, 0, 0, 2) * 2, "feed_forward_length": (0, 512, 0, 0) * 2},
            (heads(2, 2, 32), mixer(4, "mamba2")),
        ),
        (
            "lfm2",
            {"attention.head_count_kv": (0, 2) * 4, "shortconv.l_cache": 3} | dict.fromkeys(MIXER),
            (heads(4, 2, 32), StateLayers(layers=4, kind="conv", inner=256, kernel=3)),
        ),
        (
            "jamba",
            {"attention.head_count_kv": (0, 0, 0, 2) * 2, "ssm.group_count": None, "ssm.state_size": 16},
            (
                heads(2, 2, 32),
                StateLayers(layers=6, kind="mamba1", inner=4096, heads=4096, head_dim=1, state_dim=16, kernel=4),
            ),
        ),
        (
            "kimi-linear",
            MLA | {"attention.head_count_kv": (0, 0, 0, 1) * 2, "kda.head_dim": 128},
            (
                latent(2),
                StateLayers(
                    layers=6, kind="kda", inner=1024, groups=8, heads=8, head_dim=128, state_dim=128, kernel=4
                ),
            ),
        ),
    ],
)  # fmt: skip
def test_hybrids(architecture: str, fields: dict[str, Any], expected: Any) -> None:
    shape = gguf(architecture, **({"block_count": 8} | MIXER | fields))
    assert (shape.cache, shape.familiar) == (expected, True)


def test_pure_states_have_no_heads() -> None:
    none: dict[str, Any] = {"attention.head_count": 0, "attention.head_count_kv": None, "feed_forward_length": 0}
    mamba = gguf("mamba2", **none, **MIXER)
    assert mamba.cache == (mixer(2, "mamba2"),)
    assert (mamba.heads, mamba.kv_heads, mamba.head_dim) == (0, 0, 0)
    rwkv = gguf("rwkv7", **none, wkv__head_size=64)
    assert rwkv.cache == (StateLayers(layers=2, kind="rwkv", inner=256, heads=4, head_dim=64, state_dim=64, kernel=3),)
    assert not rwkv.familiar
