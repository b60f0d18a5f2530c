from __future__ import annotations

from typing import Any

import pytest

from llmserve.models.architecture.language import normal
from tests.unit.models.layouts import read


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen3_vl_text", "qwen3vl"),
        ("Qwen3VLForConditionalGeneration", "qwen3vl"),
        ("mllama_text_model", "mllama"),
        ("Gemma3TextModel", "gemma3"),
        ("GPT2LMHeadModel", "gpt2"),
        ("InternVLChatModel", "internvl"),
        ("xlm-roberta", "xlmroberta"),
        ("DeepseekV32ForCausalLM", "deepseekv32"),
    ],
)
def test_names_without_their_spelling(name: str, expected: str) -> None:
    assert normal(name) == expected


@pytest.mark.parametrize(
    ("name", "fields", "task"),
    [
        ("LlamaForCausalLM", {}, "generate"),
        ("GPT2LMHeadModel", {}, "generate"),
        ("InternVLChatModel", {}, "generate"),
        ("LlamaForSequenceClassification", {}, "reward"),
        ("Qwen2ForRewardModel", {}, "reward"),
        ("InternLM2ForRewardModel", {}, "reward"),
        ("Qwen3Model", {}, "embed"),
        ("LlamaEmbeddingModel", {}, "embed"),
        ("XLMRobertaForMaskedLM", {}, "embed"),
        ("Qwen2ForCausalLM", {"is_causal": False}, "embed"),
        ("Gemma3TextModel", {"use_bidirectional_attention": True}, "embed"),
    ],
)
def test_what_a_model_is_for(name: str, fields: dict[str, Any], task: str) -> None:
    assert read("llama", architectures=[name], **fields).task == task


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta", "nomic_bert", "modernbert"])
def test_encoders_keep_nothing_between_tokens(model_type: str) -> None:
    shape = read(model_type, architectures=["BertModel"])
    assert (shape.cache, shape.task, shape.heads, shape.kv_heads, shape.head_dim) == ((), "embed", 16, 4, 128)


def test_decoders_that_embed_keep_keys_and_values() -> None:
    assert read("qwen3", architectures=["Qwen3Model"]).cache


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        ("llama", {}, True),
        ("novel", {}, False),
        ("novel", {"architectures": ["LlamaForCausalLM"]}, True),
        ("", {}, False),
        ("gemma3_text", {"layer_types": ["full_attention"] * 12}, True),
        ("llama", {"layer_types": ["spiral_attention"] * 12}, False),
        ("novel", {"text_config": {"model_type": "qwen3"}}, True),
    ],
)
def test_families_whose_layout_is_known(model_type: str, fields: dict[str, Any], expected: bool) -> None:
    shape = read(model_type, **fields)
    assert shape.familiar is expected
    assert shape.cache
