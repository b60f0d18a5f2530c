from __future__ import annotations

from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.architecture import Architecture, from_gguf
from llmserve.models.headers.gguf import Header
from llmserve.models.headers.table import Tensor
from llmserve.models.layers import Experts
from tests.unit.models.layouts import gguf, heads


def test_a_gguf_llama() -> None:
    assert gguf() == Architecture(
        name="llama", layers=2, heads=8, kv_heads=2, head_dim=32, hidden_size=256, intermediate_size=512,
        vocab_size=300, context_length=4096, dtype="float16", quantization="Q4_K_M",
        model_type="llama", cache=(heads(2, 2, 32),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file_type", "sizes", "dtype", "quantization"),
    [
        (1, {}, "float16", None),
        (32, {}, "bfloat16", None),
        (0, {}, "float32", None),
        (7, {}, "float16", "Q8_0"),
        (1024, {"Q6_K": 9, "F32": 1}, "float16", "Q6_K"),
        (None, {"BF16": 9, "F32": 1}, "bfloat16", None),
    ],
)
def test_formats(file_type: int | None, sizes: dict[str, int], dtype: str, quantization: str | None) -> None:
    shape = gguf(sizes=sizes, general__file_type=file_type)
    assert (shape.dtype, shape.quantization) == (dtype, quantization)


def test_figures_may_be_given_by_layer() -> None:
    shape = gguf(block_count=3, attention__head_count_kv=(2, 0, 4), feed_forward_length=(512, 256, 512))
    assert (shape.kv_heads, shape.intermediate_size) == (4, 512)
    assert shape.cache == (heads(1, 2, 32), heads(1, 4, 32))


def test_heads_may_be_wider_than_hidden_by_heads() -> None:
    shape = gguf(attention__key_length=192, attention__value_length=128)
    assert (shape.head_dim, shape.cache) == (192, (heads(2, 2, 192, value_dim=128),))


def test_layers_that_predict_further_tokens_stand_behind_the_others() -> None:
    shape = gguf("glm4moe", block_count=3, nextn_predict_layers=1, attention__head_count_kv=(2, 2, 4))
    assert (shape.layers, shape.mtp_layers, shape.cache) == (2, 1, (heads(2, 2, 32),))
    with pytest.raises(LlmserveError, match="nextn_predict_layers"):
        gguf("glm4moe", nextn_predict_layers=2)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"expert_count": 0}, None),
        (
            {"expert_count": 64, "expert_used_count": 6, "expert_feed_forward_length": 1408, "expert_shared_count": 2,
             "leading_dense_block_count": 1},
            Experts(routed=64, active=6, intermediate_size=1408, shared=2, dense_layers=1),
        ),
        ({"expert_count": 8, "expert_used_count": 2}, Experts(routed=8, active=2, intermediate_size=512)),
        (
            {"expert_count": 8, "expert_shared_feed_forward_length": 64, "interleave_moe_layer_step": 2},
            Experts(routed=8, active=0, intermediate_size=512, shared=1, dense_layers=1),
        ),
    ],
)  # fmt: skip
def test_experts(fields: dict[str, Any], expected: Experts | None) -> None:
    assert gguf(**fields).experts == expected


@pytest.mark.parametrize(
    ("architecture", "fields", "task", "keeps"),
    [
        ("qwen3", {}, "generate", True),
        ("qwen3", {"pooling_type": 3}, "embed", True),
        ("qwen3", {"pooling_type": 4}, "reward", True),
        ("bert", {"pooling_type": 2, "attention.causal": False}, "embed", False),
        ("gemma-embedding", {"pooling_type": 1, "attention.causal": False}, "embed", False),
        ("dream", {"attention.causal": False}, "generate", False),
    ],
)
def test_what_a_model_is_for(architecture: str, fields: dict[str, Any], task: str, keeps: bool) -> None:
    shape = gguf(architecture, **fields)
    assert (shape.task, bool(shape.cache)) == (task, keeps)


def test_the_head_is_shared_where_the_file_has_none() -> None:
    metadata = {
        "general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 8, "llama.embedding_length": 8,
        "llama.attention.head_count": 1, "llama.vocab_size": 8,
    }  # fmt: skip
    embedding, output = (Tensor("F16", 128, (8, 8)) for _ in range(2))
    tied = Header(metadata, {}, 1, {"F16": 128}, {"token_embd.weight": embedding})
    assert from_gguf(tied, "x").tied_embeddings
    whole = Header(metadata, {}, 2, {"F16": 256}, {"token_embd.weight": embedding, "output.weight": output})
    assert not from_gguf(whole, "x").tied_embeddings


def test_the_vocabulary_may_be_a_number() -> None:
    assert gguf(lengths={"x": 1}, vocab_size=77).vocab_size == 77


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"attention.head_count_kv": (2, 2, 2)}, "attention.head_count_kv"),
        ({"attention.head_count_kv": (2, -2)}, "attention.head_count_kv"),
        ({"block_count": 2**40}, "block_count"),
        ({"attention.shared_kv_layers": 3}, "attention.shared_kv_layers"),
        ({"attention.sliding_window": 64, "attention.sliding_window_pattern": (True,)}, "sliding_window_pattern"),
    ],
)
def test_nonsense_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(LlmserveError, match=f"here.gguf .*{named}") as caught:
        gguf(**fields)
    assert caught.value.code == "broken_checkpoint"


@pytest.mark.parametrize(
    "key",
    ["general__architecture", "block_count", "context_length", "attention__head_count"],
)
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(LlmserveError, match=key.replace("__", ".")) as caught:
        gguf("llama", None, None, **{key: None})
    assert caught.value.code == "broken_checkpoint"
