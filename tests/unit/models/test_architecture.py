from __future__ import annotations

from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.architecture import Architecture, from_config, from_gguf
from llmserve.models.gguf import Header
from tests.unit.models.checkpoints import LLAMA


def read(**changes: Any) -> Architecture:
    config = {key: value for key, value in (LLAMA | changes).items() if value != "absent"}
    return from_config(config, "here/config.json")


def gguf(sizes: dict[str, int] | None = None, lengths: dict[str, int] | None = None, **changes: Any) -> Architecture:
    metadata = {
        "general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 4096,
        "llama.embedding_length": 256, "llama.feed_forward_length": 512, "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 2, "general.file_type": 15,
    }  # fmt: skip
    metadata |= {key.replace("__", "."): value for key, value in changes.items()}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return from_gguf(Header(metadata, lengths or {"tokenizer.ggml.tokens": 300}, 1, sizes or {"Q4_K": 9}), "here.gguf")


def test_a_llama() -> None:
    assert read() == Architecture(
        name="LlamaForCausalLM", layers=32, heads=32, kv_heads=8, head_dim=128, hidden_size=4096,
        intermediate_size=14336, vocab_size=128256, context_length=8192, attention="gqa", dtype="bfloat16",
        quantization=None,
    )  # fmt: skip


def test_what_a_configuration_leaves_out_follows_from_the_rest() -> None:
    shape = read(num_key_value_heads="absent", intermediate_size="absent", torch_dtype="absent")
    assert (shape.kv_heads, shape.head_dim, shape.intermediate_size, shape.dtype) == (32, 128, 0, "")


def test_the_head_size_may_differ_from_hidden_by_heads() -> None:
    assert read(head_dim=96).head_dim == 96
    assert read(head_dim=None).head_dim == 128


@pytest.mark.parametrize(("key", "value"), [("dtype", "float16"), ("torch_dtype", "torch.float16")])
def test_both_spellings_of_dtype(key: str, value: str) -> None:
    assert read(**({"torch_dtype": "absent"} | {key: value})).dtype == "float16"


def test_multi_query_attention_has_one_kv_head() -> None:
    assert read(num_key_value_heads="absent", multi_query=True).kv_heads == 1
    assert read(num_key_value_heads="absent", multi_query_group_num=2).kv_heads == 2


def test_older_names_of_the_same_figures() -> None:
    config = {
        "model_type": "gpt2",
        "n_layer": 12,
        "n_head": 12,
        "n_embd": 768,
        "vocab_size": 50257,
        "n_positions": 1024,
    }
    shape = from_config(config, "x")
    assert (shape.name, shape.layers, shape.heads, shape.head_dim, shape.context_length) == ("gpt2", 12, 12, 64, 1024)


def test_a_multimodal_model_is_described_by_its_language_model() -> None:
    inner = {key: LLAMA[key] for key in LLAMA if key not in ("architectures", "torch_dtype")} | {
        "num_hidden_layers": 34
    }
    outer = {"architectures": ["XForConditionalGeneration"], "model_type": "x", "torch_dtype": "bfloat16"}
    shape = from_config(outer | {"text_config": inner | {"torch_dtype": None}}, "x")
    assert (shape.name, shape.layers, shape.dtype) == ("XForConditionalGeneration", 34, "bfloat16")


def test_unknown_architectures_are_described() -> None:
    shape = read(architectures=["NovelForCausalLM"], model_type="novel")
    assert (shape.name, shape.attention) == ("NovelForCausalLM", "gqa")


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        (None, 8192),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 8192),
        ({"rope_type": "llama3", "factor": 8.0}, 8192),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}, 8192),
        ({"type": "yarn", "factor": 4.0}, 32768),
        ({"rope_type": "linear", "factor": 2}, 16384),
        ({"rope_type": "default"}, 8192),
        ({"factor": "many"}, 8192),
    ],
)
def test_context_is_scaled_as_the_engine_scales_it(rope: Any, expected: int) -> None:
    assert read(rope_scaling=rope).context_length == expected


def test_gemma3_positions_are_scaled_already() -> None:
    assert read(model_type="gemma3_text", rope_scaling={"rope_type": "linear", "factor": 8.0}).context_length == 8192


def test_an_untold_context_is_what_the_engine_assumes() -> None:
    assert read(max_position_embeddings="absent").context_length == 2048


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "mistral", "sliding_window": 4096},
        {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True},
        {"layer_types": ["sliding_attention", "full_attention"]},
        {"kv_lora_rank": 512},
        {"num_key_value_heads": [8, 4, 8]},
        {"linear_num_value_heads": 32},
        {"is_encoder_decoder": True},
    ],
)
def test_other_attention_is_marked(changes: dict[str, Any]) -> None:
    assert read(**changes).attention == "other"


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False},
        {"model_type": "qwen3", "sliding_window": 4096},
        {"model_type": "phi3", "sliding_window": 262144},
        {"layer_types": ["full_attention"] * 32},
        {"is_encoder_decoder": False},
    ],
)
def test_plain_attention_is_not_marked(changes: dict[str, Any]) -> None:
    assert read(**changes).attention == "gqa"


def test_layers_that_differ_count_as_the_largest() -> None:
    assert read(num_key_value_heads=[8, 4, 8]).kv_heads == 8


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_algo": "NVFP4"}, "NVFP4"),
        ({"bits": 4}, "unknown"),
        (None, None),
    ],
)
def test_quantisation(config: Any, expected: str | None) -> None:
    assert read(quantization_config=config).quantization == expected


@pytest.mark.parametrize("field", ["num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size"])
@pytest.mark.parametrize("value", ["absent", "32", -1, 0, 1.5, True, []])
def test_a_missing_or_senseless_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(LlmserveError, match=f"here/config.json .*{field}") as caught:
        read(**{field: value})
    assert caught.value.code == "broken_checkpoint"


def test_a_gguf_llama() -> None:
    assert gguf() == Architecture(
        name="llama", layers=2, heads=8, kv_heads=2, head_dim=32, hidden_size=256, intermediate_size=512,
        vocab_size=300, context_length=4096, attention="gqa", dtype="float16", quantization="Q4_K_M",
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
def test_gguf_formats(file_type: int | None, sizes: dict[str, int], dtype: str, quantization: str | None) -> None:
    shape = gguf(sizes=sizes, general__file_type=file_type)
    assert (shape.dtype, shape.quantization) == (dtype, quantization)


def test_gguf_figures_may_be_given_by_layer() -> None:
    shape = gguf(llama__attention__head_count_kv=(2, 0, 4), llama__feed_forward_length=(512, 512))
    assert (shape.kv_heads, shape.intermediate_size, shape.attention) == (4, 512, "other")


def test_gguf_heads_may_be_wider_than_hidden_by_heads() -> None:
    shape = gguf(llama__attention__key_length=192, llama__attention__value_length=128)
    assert shape.head_dim == 192


def test_gguf_sliding_windows_are_marked() -> None:
    assert gguf(llama__attention__sliding_window=512).attention == "other"
    assert gguf(llama__attention__sliding_window=0).attention == "gqa"


def test_the_vocabulary_may_be_a_number() -> None:
    assert gguf(lengths={"x": 1}, llama__vocab_size=77).vocab_size == 77


@pytest.mark.parametrize(
    "key",
    ["general__architecture", "llama__block_count", "llama__context_length", "llama__attention__head_count"],
)
def test_a_missing_gguf_key_is_named(key: str) -> None:
    with pytest.raises(LlmserveError, match=key.replace("__", ".")) as caught:
        gguf(**{key: None})
    assert caught.value.code == "broken_checkpoint"
