"""The pools' arithmetic against what SGLang's logs say of each family."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.models.layers import AttentionLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import compressed, pool
from llmserve.plan.sglang.pool import PoolSettings
from tests.fakes.machines import GIB, llama_8b

LATENT = LatentLayers(layers=61, latent_dim=512, rope_dim=64)
SPARSE = LatentLayers(layers=61, latent_dim=512, rope_dim=64, index_dim=128, index_layers=61)
GDN = StateLayers(
    layers=36, kind="gdn", inner=4096, groups=16, heads=32, head_dim=128, state_dim=128, kernel=4
)  # Qwen3-Next
GPT_OSS = (
    AttentionLayers(layers=12, kv_heads=8, key_dim=64, value_dim=64),
    AttentionLayers(layers=12, kv_heads=8, key_dim=64, value_dim=64, window=128),
)


def gqa(layers: int, heads: int, dim: int = 128) -> AttentionLayers:
    return AttentionLayers(layers=layers, kv_heads=heads, key_dim=dim, value_dim=dim)


def model(*cache: AttentionLayers | LatentLayers | CompressedLayers | StateLayers, architecture: str = "X") -> Model:
    return llama_8b(cache=cache, architecture=architecture)


def split(tp: int, groups: int = 1, stages: int = 1) -> Arrangement:
    return Arrangement(tensor_parallel=tp, attention_data_parallel=groups, pipeline_parallel=stages)


@pytest.mark.parametrize(
    ("served", "settings", "expected"),
    [
        (model(gqa(32, 8)), PoolSettings(), 131_072),  # Llama-3.1-8B
        (model(gqa(36, 8)), PoolSettings(), 147_456),  # Qwen3-8B
        (model(gqa(80, 8)), PoolSettings(arrangement=split(4)), 81_920),  # Llama-3.1-70B
        (model(gqa(80, 8)), PoolSettings(arrangement=split(16)), 40_960),  # a GPU keeps at least one KV head
        (model(gqa(48, 4)), PoolSettings(arrangement=split(8)), 24_576),  # Qwen3-30B-A3B
        (model(gqa(32, 8)), PoolSettings(kv_dtype="fp8_e4m3"), 65_536),
        (model(gqa(28, 2)), PoolSettings(kv_dtype="nvfp4"), 8064),  # Qwen2.5-1.5B: 8065.5 by two decimals of a log
        (model(LATENT), PoolSettings(arrangement=split(8)), 70_272),  # DeepSeek-V3, whole on each GPU
        (model(SPARSE), PoolSettings(arch="sm_90"), 78_324),  # DeepSeek-V3.2
        (model(SPARSE), PoolSettings(kv_dtype="fp8_e4m3", arch="sm_90"), 48_068),
        (model(SPARSE), PoolSettings(kv_dtype="fp8_e4m3", arch="sm_100"), 43_188),
        (model(LATENT), PoolSettings(draft_layers=1), 70_272 + 1152),
        (model(gqa(62, 16)), PoolSettings(), 507_904),  # Gemma-3-27B: its windows are charged in full
        (model(gqa(8, 4, 256), GDN), PoolSettings(arrangement=split(2)), 16_384),  # Qwen3.5-9B
        (model(gqa(60, 8)), PoolSettings(arrangement=split(1, stages=4)), 15 * 4096),
    ],
)
def test_bytes_per_token_are_those_of_the_logs(served: Model, settings: PoolSettings, expected: int) -> None:
    full, window = pool.cells(served, settings)
    assert (full, window) == (expected, 0)


@pytest.mark.parametrize(("ratio", "cell"), [(None, 44_236.8), (0.3, 31_948.8)])
def test_windows_get_a_pool_of_their_own(ratio: float | None, cell: float) -> None:
    found = pool.size(model(*GPT_OSS, architecture="GptOssForCausalLM"), 10 * GIB, PoolSettings(window_ratio=ratio))
    assert found.cell == pytest.approx(cell)
    assert found.tokens == int(10 * GIB // cell)
    assert found.window_tokens == int(found.tokens * (ratio or 0.8))
    assert found.kv_bytes <= 10 * GIB


def test_windows_of_gemma_3_are_charged_as_if_they_saw_everything() -> None:
    found = pool.size(model(*GPT_OSS, architecture="Gemma3ForCausalLM"), 10 * GIB, PoolSettings())
    assert (found.cell, found.window_tokens) == (24 * 2048, None)


def test_states_take_their_share_before_the_cache() -> None:
    """Qwen3.5-9B on two 24 GB cards: 9.49 GiB left, 186 slots and 327,310 tokens logged."""
    layers = StateLayers(layers=24, kind="gdn", inner=4096, groups=16, heads=32, head_dim=128, state_dim=128, kernel=4)
    served = model(gqa(8, 4, 256), layers, architecture="Qwen3_5ForConditionalGeneration")
    found = pool.size(served, int(9.49 * GIB), PoolSettings(arrangement=split(2), max_running_requests=100))
    assert found.state_slots == 186
    assert found.tokens == pytest.approx(327_310, rel=0.003)
    assert found.state_bytes / GIB == pytest.approx(4.48, abs=0.01)
    assert found.requests == 186 // 5


@pytest.mark.parametrize(
    ("settings", "slots"),
    [
        (PoolSettings(state_slots=360), 360),
        (PoolSettings(radix_cache=False, max_running_requests=20), 20),
        (PoolSettings(state_slots=360, arrangement=split(4, groups=4)), 90),
    ],
)
def test_slots_can_be_set_or_follow_from_the_requests(settings: PoolSettings, slots: int) -> None:
    assert pool.size(model(gqa(12, 2, 256), GDN), 40 * GIB, settings).state_slots == slots


def test_half_precision_states_are_half_the_size() -> None:
    served = model(gqa(12, 2, 256), GDN)
    full = pool.state_bytes(served, PoolSettings())
    assert full == 36 * (32 * 128 * 128 * 4 + (4096 + 2 * 16 * 128) * 3 * 2)
    assert pool.state_bytes(served, PoolSettings(state_dtype="bfloat16")) < 0.6 * full


def test_a_compressed_cache_costs_what_a_build_of_2026_logged() -> None:
    ratios = (0, 0, *(4, 128) * 20, 4)
    group = CompressedLayers(ratios=ratios, head_dim=512, rope_dim=64, index_dim=128, window=128)
    served = model(group, architecture="DeepseekV4ForCausalLM")
    found = pool.size(served, int(45.78 * GIB), PoolSettings(page_size=256, window_ratio=0.1, version="0.5.14"))
    assert found.cell == pytest.approx(15_955.85)
    assert found.tokens == pytest.approx(3_080_960, rel=0.001)


def test_a_compressed_cache_is_as_small_as_that_of_the_fullest_stage() -> None:
    group = CompressedLayers(ratios=(0, 0, *(4, 128) * 10, 4), head_dim=512, rope_dim=64, index_dim=128, window=128)
    served, rest = model(group, architecture="DeepseekV4ForCausalLM"), 40 * GIB
    whole, halves = (PoolSettings(page_size=256, arrangement=Arrangement(pipeline_parallel=n)) for n in (1, 2))
    stages = compressed.of_stages(group, 2)
    assert [stage.layers for stage in stages] == [11, 12]
    assert tuple(ratio for stage in stages for ratio in stage.ratios) == group.ratios
    assert pool.size(served, rest, whole).tokens < pool.size(served, rest, halves).tokens
    late = PoolSettings(page_size=256, max_running_requests=1)
    alone = [pool.size(replace(served, cache=(stage,)), rest, late).tokens for stage in stages]
    assert pool.size(served, rest, replace(late, arrangement=halves.arrangement)).tokens == min(alone)


def test_drafts_double_the_rings_of_early_builds() -> None:
    group = CompressedLayers(ratios=(0, 4, 128), head_dim=512, rope_dim=64, index_dim=128, window=128)
    plain, drafting = (compressed.early_cost(group, ratio=0.1, drafts=drafts, last=True) for drafts in (0, 2))
    rings = 0.1 * (4 * 640 * 4 * 8 / 128 + 2 * 512 * 4 * 128 / 128)
    assert drafting.per_token == pytest.approx((plain.per_token + rings) * 5 / 4)


def test_requests_follow_from_the_pool_unless_they_are_asked_for() -> None:
    served, rest = model(gqa(32, 8)), 50 * GIB
    assert pool.size(served, rest, PoolSettings(context=131_072)).requests == 2048
    assert pool.size(served, rest, PoolSettings(context=4096)).requests == 4096
    assert pool.size(served, rest, PoolSettings(max_running_requests=100)).requests == 100
    assert (
        pool.size(served, rest, PoolSettings(max_running_requests=100, arrangement=split(4, groups=4))).requests == 25
    )


def test_a_cap_and_pages_round_down() -> None:
    assert pool.size(model(gqa(32, 8)), 50 * GIB, PoolSettings(max_total_tokens=20_480)).tokens == 20_480
    assert pool.size(model(gqa(32, 8)), 50 * GIB, PoolSettings(page_size=64)).tokens % 64 == 0


caches = st.lists(
    st.one_of(
        st.builds(
            AttentionLayers, layers=st.integers(1, 80), kv_heads=st.sampled_from([1, 2, 4, 8, 16]),
            key_dim=st.sampled_from([64, 128, 256]), value_dim=st.sampled_from([64, 128, 256]),
            window=st.sampled_from([None, 128, 4096]),
        ),
        st.just(LATENT), st.just(SPARSE), st.just(GDN),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@given(
    cache=caches,
    rest=st.integers(1, 200 * GIB),
    more=st.integers(0, 10 * GIB),
    tp=st.sampled_from([1, 2, 4, 8]),
    name=st.sampled_from(["LlamaForCausalLM", "GptOssForCausalLM", "Qwen3NextForCausalLM"]),
)
def test_pools_stay_within_the_memory_and_grow_with_it(
    cache: list[AttentionLayers | LatentLayers | StateLayers], rest: int, more: int, tp: int, name: str
) -> None:
    served, settings = model(*cache, architecture=name), PoolSettings(arrangement=split(tp), context=8192)
    found, larger = pool.size(served, rest, settings), pool.size(served, rest + more, settings)
    if found.cell and found.tokens:
        assert found.kv_bytes + found.state_bytes <= rest
    assert larger.state_slots is None or larger.state_slots >= (found.state_slots or 0)
    assert larger.tokens >= found.tokens - math.ceil(pool.state_bytes(served, settings) / max(1, found.cell))
