from __future__ import annotations

from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.architecture import Architecture, from_config
from llmserve.models.layers import AttentionLayers, Vision
from tests.unit.models.checkpoints import LLAMA
from tests.unit.models.recorded import config as recorded


def read(**changes: Any) -> Architecture:
    config = {key: value for key, value in (LLAMA | changes).items() if value != "absent"}
    return from_config(config, "here/config.json")


def test_a_llama() -> None:
    assert read() == Architecture(
        name="LlamaForCausalLM", layers=32, heads=32, kv_heads=8, head_dim=128, hidden_size=4096,
        intermediate_size=14336, vocab_size=128256, context_length=8192, dtype="bfloat16",
        quantization=None, model_type="llama", cache=(
            AttentionLayers(layers=32, kv_heads=8, key_dim=128, value_dim=128),
        ),
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
    assert (shape.name, shape.familiar) == ("NovelForCausalLM", False)


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


def test_layers_that_differ_count_as_the_largest() -> None:
    assert read(num_key_value_heads=[8, 4] * 16).kv_heads == 8


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0),
        ({"num_nextn_predict_layers": 1}, 1),
        ({"mtp_num_hidden_layers": 2}, 2),
        ({"num_mtp_modules": 3}, 3),
        ({"num_nextn_predict_layers": 0}, 0),
    ],
)
def test_layers_that_predict_further_tokens(fields: dict[str, Any], expected: int) -> None:
    assert read(**fields).mtp_layers == expected


@pytest.mark.parametrize(
    ("vision", "expected"),
    [
        ({"vision_config": {"depth": 27, "hidden_size": 1152}}, Vision(layers=27, hidden_size=1152, named_width=1152)),
        (
            {"vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16}},
            Vision(layers=32, hidden_size=1280, heads=16, named_width=3584),
        ),
        (
            {"vision_config": {"num_hidden_layers": 45, "hidden_size": 3200, "num_attention_heads": 25}},
            Vision(layers=45, hidden_size=3200, heads=25, named_layers=45, named_width=3200),
        ),
        ({"vision_config": {"layers": 24, "width": 1024}}, Vision(layers=24, hidden_size=1024)),
        ({"vision_config": {"vt_num_hidden_layers": 27, "vt_hidden_size": 1024}}, Vision(layers=27, hidden_size=1024)),
        ({"vision_config": {"depth": "many"}}, Vision()),
        ({"vision_config": {}}, Vision()),
        ({"mm_vision_tower": "openai/clip-vit-large-patch14-336"}, Vision()),
        ({"thinker_config": {"vision_config": {"depth": 32}}}, Vision(layers=32)),
        ({"vision_config": None}, None),
        ({}, None),
    ],
)
def test_encoders_of_images(vision: dict[str, Any], expected: Vision | None) -> None:
    assert read(**vision).vision == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"tie_word_embeddings": True}, True),
        ({"model_type": "gemma3_text"}, True),
        ({"model_type": "gemma3_text", "tie_word_embeddings": False}, False),
        ({"text_config": {"model_type": "gemma2"}}, True),
        ({"tie_word_embeddings": True, "text_config": {"model_type": "x", "tie_word_embeddings": False}}, False),
    ],
)
def test_shared_embeddings(changes: dict[str, Any], expected: bool) -> None:
    assert read(**changes).tied_embeddings is expected


def test_sections_may_leave_out_what_their_class_has_by_default() -> None:
    """As in the published Gemma 3 4B."""
    section = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "sliding_window": 1024}
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": section}
    shape = from_config(config, "x")
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.vocab_size) == (8, 4, 256, 262208)
    assert [group.layers for group in shape.cache] == [29, 5]
    assert (shape.model_type, shape.familiar) == ("gemma3", True)


def test_whole_files_must_say_what_sections_may_leave_out() -> None:
    with pytest.raises(LlmserveError, match="num_attention_heads"):
        from_config({"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34}, "x")


@pytest.mark.parametrize("section", ["llm_config", "language_config", "text_config"])
def test_the_language_model_has_many_names(section: str) -> None:
    outer = {"architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "hidden_size": 1}
    shape = from_config(outer | {section: dict(LLAMA)}, "x")
    assert (shape.name, shape.hidden_size, shape.task, shape.familiar) == ("InternVLChatModel", 4096, "generate", True)


def test_omni_models_keep_it_two_levels_deep() -> None:
    shape = from_config({"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": dict(LLAMA)}}, "x")
    assert shape.layers == 32


def test_the_old_llava_has_an_unused_section() -> None:
    shape = read(architectures=["LlavaLlamaForCausalLM"], text_config={"num_hidden_layers": 2})
    assert shape.layers == 32


def test_quantisation_is_read_wherever_it_stands() -> None:
    assert from_config(recorded("moonshotai/Kimi-K2.5"), "x").quantization == "compressed-tensors"
    assert from_config(recorded("nvidia/Kimi-K2.6-NVFP4"), "x").quantization == "modelopt_fp4"
    blocks = read(quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]})
    assert (blocks.quantization, blocks.weight_block, blocks.group_size) == ("fp8", 128, None)
    assert read(quantization_config={"quant_method": "novel"}).quantization == "novel"


@pytest.mark.parametrize("field", ["num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size"])
@pytest.mark.parametrize("value", ["absent", "32", -1, 0, 1.5, True, []])
def test_a_missing_or_senseless_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(LlmserveError, match=f"here/config.json .*{field}") as caught:
        read(**{field: value})
    assert caught.value.code == "broken_checkpoint"
