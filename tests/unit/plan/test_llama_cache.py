"""llama.cpp's memory for context against what it logged for tiny models (xllamacpp 2026.10, x86-64 CPU)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.models.layers import AttentionLayers, CacheLayers, Experts, LatentLayers, StateLayers
from llmserve.models.model import Model, Source
from llmserve.plan import llama_cache

MIB = 1024**2


def attention(layers: int, width: int = 32, *, window: int | None = None, shares: int = 0) -> AttentionLayers:
    return AttentionLayers(layers=layers, kv_heads=2, key_dim=width, value_dim=width, window=window, shares=shares)


def mamba(layers: int) -> StateLayers:
    return StateLayers(
        layers=layers, kind="mamba2", inner=256, groups=1, heads=4, head_dim=64, state_dim=32, kernel=4
    )  # fmt: skip


def model(*cache: CacheLayers, context: int = 8192) -> Model:
    return Model(
        ref="m", name="m", source=Source(format="gguf", path="m.gguf"), architecture="m", layers=2, heads=4, kv_heads=2,
        head_dim=32, hidden_size=128, vocab_size=768, context_length=context, dtype="float16", weight_bytes=1,
        intermediate_size=256, cache=cache,
    )  # fmt: skip


LLAMA = model(attention(2))
GEMMA3 = model(attention(1), attention(5, window=512))
GEMMA4 = model(attention(2, 64, shares=1), attention(2, window=512, shares=1))
GPT_OSS = model(attention(2, 64), attention(2, 64, window=128))
LLAMA4 = model(attention(1), attention(3, window=8192))
DEEPSEEK2 = model(LatentLayers(layers=2, latent_dim=64, rope_dim=16))
DEEPSEEK32 = model(LatentLayers(layers=2, latent_dim=64, rope_dim=16, index_dim=128, index_layers=2))
FALCON_H1 = model(attention(2), mamba(2))
GRANITE = model(attention(1), mamba(1))
MAMBA2 = model(mamba(2))
MAMBA1 = model(
    StateLayers(layers=2, kind="mamba1", inner=256, heads=256, head_dim=1, state_dim=16, kernel=4)
)  # fmt: skip
LFM2 = model(attention(1), StateLayers(layers=2, kind="conv", inner=128, kernel=3))
QWEN35 = model(
    attention(1),
    StateLayers(layers=3, kind="gdn", inner=128, groups=2, heads=4, head_dim=32, state_dim=32, kernel=4),
)  # fmt: skip

# --ctx-size, --parallel -> what the lines "llama_kv_cache: size" and "llama_memory_recurrent: size" add up to, in MiB
LOGGED = [
    (LLAMA, 8192, 4, 4.00),
    (LLAMA, 5000, 1, 2.50),
    (LLAMA, 5000, 3, 2.62),
    (LLAMA, 300, 2, 0.25),
    (LLAMA, 16384, 1, 8.00),
    (GEMMA3, 8192, 4, 2.00 + 5.00),
    (GEMMA3, 5000, 1, 1.25 + 1.25),
    (GEMMA3, 5000, 3, 1.31 + 3.75),
    (GEMMA3, 300, 2, 0.12 + 0.62),
    (GEMMA3, 16384, 1, 4.00 + 1.25),
    (GEMMA4, 8192, 4, 4.00 + 1.00),
    (GPT_OSS, 8192, 4, 8.00 + 3.00),
    (LLAMA4, 8192, 4, 2.00 + 6.00),
    (DEEPSEEK2, 8192, 4, 2.50),
    (DEEPSEEK32, 8192, 4, 2.50 + 4.00),
    (FALCON_H1, 8192, 4, 4.00 + 0.28),
    (GRANITE, 8192, 4, 2.00 + 0.14),
    (MAMBA2, 8192, 4, 0.28),
    (MAMBA1, 8192, 4, 0.15),
    (LFM2, 8192, 4, 2.00 + 0.01),
    (QWEN35, 8192, 4, 2.00 + 0.22),
    (QWEN35, 5000, 3, 1.31 + 0.17),
    (QWEN35, 16384, 1, 4.00 + 0.06),
]


@pytest.mark.parametrize(("tiny", "context", "parallel", "logged"), LOGGED)
def test_cache_and_states_are_what_was_logged(tiny: Model, context: int, parallel: int, logged: float) -> None:
    lines = len({type(group) if isinstance(group, StateLayers) else group.window for group in tiny.cache})
    predicted = llama_cache.kv_bytes(tiny, context=context, parallel=parallel) / MIB
    assert predicted == pytest.approx(logged, abs=0.0051 * lines)


def test_an_eight_bit_cache_takes_half_and_states_stay_as_they_are() -> None:
    full = llama_cache.kv_bytes(FALCON_H1, context=8192, parallel=1)
    half = llama_cache.kv_bytes(FALCON_H1, context=8192, parallel=1, element_bytes=1)
    assert full - half == 8192 * 2 * 2 * 64


@pytest.mark.parametrize(("context", "parallel", "logged"), [(8192, 4, 2048), (5000, 1, 5120), (5000, 3, 1792)])
def test_cells_of_a_slot(context: int, parallel: int, logged: int) -> None:
    assert llama_cache.cells(context, parallel) == logged


def test_a_slot_takes_no_more_tokens_than_the_model_was_trained_for() -> None:
    assert llama_cache.tokens(model(attention(2), context=2000), context=3 * 2000, parallel=3) == 3 * 2000
    assert llama_cache.tokens(LLAMA, context=3 * 1000, parallel=3) == 3 * 1024


MANY_EXPERTS = Experts(routed=64, active=8, intermediate_size=512)
WIDE_DEEPSEEK = replace(
    model(LatentLayers(layers=2, latent_dim=512, rope_dim=64)), hidden_size=512, heads=16, intermediate_size=1024
)

# --ctx-size, --parallel -> "compute buffer size" in MiB
BUFFERS = [
    (LLAMA, 8192, 4, 4.27),
    (LLAMA, 16384, 1, 18.27),
    (GEMMA3, 8192, 4, 5.78),
    (GEMMA3, 16384, 1, 19.78),
    (LLAMA4, 8192, 4, 5.65),
    (DEEPSEEK2, 8192, 4, 4.76),
    (DEEPSEEK32, 8192, 4, 12.08),
    (DEEPSEEK32, 16384, 1, 68.08),
    (FALCON_H1, 8192, 4, 6.42),
    (MAMBA1, 8192, 4, 3.83),
    (QWEN35, 16384, 1, 18.77),
    (replace(LLAMA, hidden_size=1024, intermediate_size=4096, heads=8, head_dim=128), 2048, 1, 36.02),
    (replace(LLAMA, hidden_size=256, intermediate_size=8192, head_dim=64), 16384, 1, 66.52),
    (replace(LLAMA, hidden_size=256, intermediate_size=512, heads=32, head_dim=128), 16384, 1, 34.52),
    (replace(LLAMA, hidden_size=512, heads=8, head_dim=64, experts=MANY_EXPERTS), 2048, 1, 31.02),
    (WIDE_DEEPSEEK, 2048, 1, 49.01),
]


@pytest.mark.parametrize(("tiny", "context", "parallel", "logged"), BUFFERS)
def test_compute_buffers_are_covered_and_not_by_much(tiny: Model, context: int, parallel: int, logged: float) -> None:
    assert logged <= llama_cache.compute_bytes(tiny, context=context, parallel=parallel) / MIB <= 1.3 * logged


# "created context checkpoint", in MiB
CHECKPOINTS = [(GPT_OSS, 0.127), (GEMMA3, 0.631), (QWEN35, 0.056), (FALCON_H1, 0.070), (LLAMA, 0.0)]


@pytest.mark.parametrize(("tiny", "logged"), CHECKPOINTS)
def test_checkpoints_hold_windows_and_states(tiny: Model, logged: float) -> None:
    assert llama_cache.checkpoint_bytes(tiny) / MIB == pytest.approx(logged, rel=0.02)


FAMILIES = st.sampled_from([LLAMA, GEMMA3, GEMMA4, DEEPSEEK2, FALCON_H1, MAMBA2, LFM2])


@given(tiny=FAMILIES, budget=st.integers(0, 20 * MIB), parallel=st.integers(1, 9))
def test_the_longest_context_fits_and_a_longer_one_does_not(tiny: Model, budget: int, parallel: int) -> None:
    context = llama_cache.most_context(tiny, budget, parallel=parallel)
    assert context <= tiny.context_length * parallel
    if context:
        assert llama_cache.kv_bytes(tiny, context=context, parallel=parallel) <= budget
    if context < tiny.context_length * parallel:
        assert llama_cache.kv_bytes(tiny, context=context + 256 * parallel, parallel=parallel) > budget
