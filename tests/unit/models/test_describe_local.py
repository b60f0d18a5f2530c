from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import describe, fetch, resolve
from llmserve.models.layers import AttentionLayers
from llmserve.models.model import Model
from llmserve.models.tensors import TensorGroup
from tests.unit.models.checkpoints import LLAMA, gguf, llama_gguf, safetensors, write_folder


def read(path: Path) -> Model:
    candidate = resolve(str(path))
    return describe(candidate, candidate.formats[0])


def broken(path: Path) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        read(path)
    assert caught.value.code == "broken_checkpoint"
    return caught.value


def write_gguf(path: Path, metadata: dict[str, Any] | None = None) -> Path:
    path.write_bytes(gguf(metadata or llama_gguf(), {"token_embd.weight": (12, (256, 3)), "norm": (0, (256,))}))
    return path


def test_a_folder(tmp_path: Path) -> None:
    model = read(write_folder(tmp_path / "m"))
    assert (model.name, model.architecture, model.kv_heads, model.dtype) == ("m", "LlamaForCausalLM", 8, "bfloat16")
    assert model.weight_bytes == 64
    assert model.path == str(tmp_path / "m")
    assert fetch(model) == tmp_path / "m"
    assert not model.random_weights


def test_shards_add_up(tmp_path: Path) -> None:
    assert read(write_folder(tmp_path / "m", shards=3)).weight_bytes == 3 * 64


def test_duplicates_of_the_weights_do_not_count(tmp_path: Path) -> None:
    extra = safetensors({"w": ("BF16", (64, 64))})
    write_folder(tmp_path / "m", files={"consolidated.safetensors": extra, "adapter_model.safetensors": extra})
    assert read(tmp_path / "m").weight_bytes == 64


def test_the_dtype_of_the_weights_stands_in_for_an_untold_one(tmp_path: Path) -> None:
    config = {key: value for key, value in LLAMA.items() if key != "torch_dtype"}
    assert read(write_folder(tmp_path / "m", config=config)).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"tokenizer_config.json": b"{}"}, False),
        ({"tokenizer_config.json": b'{"chat_template": "x"}'}, True),
        ({"chat_template.jinja": b"x"}, True),
    ],
)
def test_the_chat_template_is_found(tmp_path: Path, files: dict[str, bytes], expected: bool) -> None:
    assert read(write_folder(tmp_path / "m", files=files)).chat_template is expected


def test_a_folder_without_tokenizer(tmp_path: Path) -> None:
    (write_folder(tmp_path / "m") / "tokenizer.json").unlink()
    assert "has no tokenizer" in broken(tmp_path / "m").message


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    shard = write_folder(tmp_path / "m", shards=2) / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-10])
    error = broken(tmp_path / "m")
    assert str(shard) in error.message
    assert error.data["missing_bytes"] == 10


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_damaged_configuration(tmp_path: Path, content: bytes) -> None:
    write_folder(tmp_path / "m", files={"config.json": content})
    assert "config.json is damaged" in broken(tmp_path / "m").message


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", config={"hidden_size": 8})
    assert "'num_hidden_layers'" in broken(tmp_path / "m").message


def test_an_index_without_map(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", shards=2, files={"model.safetensors.index.json": json.dumps({"a": 1}).encode()})
    assert "weight_map" in broken(tmp_path / "m").message


def test_a_gguf_file(tmp_path: Path) -> None:
    model = read(write_gguf(tmp_path / "x.gguf"))
    assert (model.name, model.architecture, model.quantization) == ("x", "llama", "Q4_K_M")
    assert model.weight_bytes == 3 * 144 + 1024
    assert (model.path, model.chat_template) == (str(tmp_path / "x.gguf"), False)
    assert fetch(model) == tmp_path / "x.gguf"


def test_a_gguf_with_chat_template(tmp_path: Path) -> None:
    metadata = llama_gguf(tokenizer__chat_template="{{ x }}")
    assert read(write_gguf(tmp_path / "x.gguf", metadata)).chat_template


def test_parts_of_a_split_gguf_add_up(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x-00001-of-00002.gguf")
    (tmp_path / "x-00002-of-00002.gguf").write_bytes(gguf({}, {"rest": (0, (8,))}))
    assert read(tmp_path / "x-00002-of-00002.gguf").weight_bytes == 3 * 144 + 1024 + 32


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x-00001-of-00003.gguf")
    assert "x-00002-of-00003.gguf, x-00003-of-00003.gguf" in broken(tmp_path / "x-00001-of-00003.gguf").message


def test_a_truncated_gguf(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf")
    path.write_bytes(path.read_bytes()[:-7])
    assert broken(path).data["missing_bytes"] == 7


def test_a_gguf_without_tokenizer(tmp_path: Path) -> None:
    assert (
        "has no tokenizer" in broken(write_gguf(tmp_path / "x.gguf", llama_gguf(tokenizer__ggml__tokens=None))).message
    )


def test_a_part_of_a_model_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a part of a model"):
        read(write_gguf(tmp_path / "x.gguf", llama_gguf(general__type="mmproj")))


def test_bytes_are_told_by_role(tmp_path: Path) -> None:
    weights = safetensors({"model.embed_tokens.weight": ("F8_E4M3", (4, 8)), "model.norm.weight": ("BF16", (8,))})
    model = read(write_folder(tmp_path / "m", files={"model.safetensors": weights}))
    assert model.tensors == (
        TensorGroup(role="embedding", dtype="F8_E4M3", size_bytes=32),
        TensorGroup(role="norm", dtype="BF16", size_bytes=16),
    )
    assert (model.basis, model.weight_bytes, model.model_type, model.familiar) == ("headers", 48, "llama", True)
    assert model.cache == (AttentionLayers(layers=32, kv_heads=8, key_dim=128, value_dim=128),)


def test_bytes_of_a_gguf_file_are_told_by_role(tmp_path: Path) -> None:
    model = read(write_gguf(tmp_path / "x.gguf"))
    assert model.tensors == (
        TensorGroup(role="norm", dtype="F32", size_bytes=1024),
        TensorGroup(role="embedding", dtype="Q4_K", size_bytes=432),
    )
    assert [group.layers for group in model.cache] == [2]


def test_the_last_layers_of_a_gguf_file_may_be_drafts(tmp_path: Path) -> None:
    metadata = llama_gguf(llama__block_count=("u32", 3), llama__nextn_predict_layers=("u32", 1))
    layers = {f"blk.{number}.ffn_up.weight": (0, (8 * (number + 1),)) for number in range(3)}
    (tmp_path / "x.gguf").write_bytes(gguf(metadata, layers))
    model = read(tmp_path / "x.gguf")
    assert (model.layers, model.mtp_layers) == (2, 1)
    assert {group.role: group.size_bytes for group in model.tensors} == {"mlp": 32 + 64, "draft": 96}


@pytest.mark.parametrize(
    ("weights", "dtype"),
    [
        ({"a": ("F8_E4M3", (64, 64)), "b": ("BF16", (8,)), "c": ("F32", (64,))}, "bfloat16"),
        ({"a": ("I32", (64, 64)), "b": ("F16", (8,)), "c": ("BF16", (4,))}, "float16"),
        ({"a": ("F32", (64, 64)), "b": ("F16", (8,))}, "float32"),
    ],
)
def test_an_untold_dtype_is_not_that_of_quantised_weights(
    tmp_path: Path, weights: dict[str, tuple[str, tuple[int, ...]]], dtype: str
) -> None:
    config = {key: value for key, value in LLAMA.items() if key != "torch_dtype"}
    files = {"model.safetensors": safetensors(weights)}
    assert read(write_folder(tmp_path / "m", config=config, files=files)).dtype == dtype


def index(**places: str) -> dict[str, bytes]:
    return {"model.safetensors.index.json": json.dumps({"weight_map": places}).encode()}


def test_an_index_that_contradicts_the_headers(tmp_path: Path) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    path = write_folder(tmp_path / "m", shards=2, files=index(w0=first, w1=first, w2=second))
    assert broken(path).message == (
        f"{path} contradicts itself: the index puts 'w1' into {first}, but it is in {second}."
    )
    write_folder(tmp_path / "m", shards=2, files=index(w0=first, w1=second, w2=second))
    assert "puts 'w2' into model-00002-of-00002.safetensors, but no file has it" in broken(path).message


def test_tensors_that_the_index_does_not_name_are_fine(tmp_path: Path) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    extra = {second: safetensors({"w1": ("BF16", (4, 8)), "more": ("BF16", (4, 8))})}
    path = write_folder(tmp_path / "m", shards=2, files=index(w0=first, w1=second) | extra)
    assert read(path).weight_bytes == 3 * 64


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    second = safetensors({"w0": ("BF16", (4, 8)), "w1": ("BF16", (4, 8))})
    path = write_folder(tmp_path / "m", shards=2, files={"model-00002-of-00002.safetensors": second})
    assert "'w0' is in model-00001-of-00002.safetensors and in model-00002-of-00002.safetensors" in broken(path).message


def test_weights_of_another_size_than_the_configuration_says(tmp_path: Path) -> None:
    weights = safetensors({"model.embed_tokens.weight": ("BF16", (4, 8))})
    path = write_folder(tmp_path / "m", files={"model.safetensors": weights})
    assert "'model.embed_tokens.weight' is 4 x 8, not 128256 x 4096" in broken(path).message


def test_the_embedding_of_an_unknown_architecture_may_be_of_any_size(tmp_path: Path) -> None:
    weights = safetensors({"model.embed_tokens.weight": ("BF16", (4, 8))})
    config = LLAMA | {"model_type": "novel", "architectures": ["NovelForCausalLM"]}
    path = write_folder(tmp_path / "m", config=config, files={"model.safetensors": weights})
    assert read(path).familiar is False


def test_a_checkpoint_without_its_last_layers(tmp_path: Path) -> None:
    weights = safetensors({"model.layers.7.mlp.up_proj.weight": ("BF16", (4, 8))})
    path = write_folder(tmp_path / "m", files={"model.safetensors": weights})
    assert "says 32 layers, and the weights end with layer 8" in broken(path).message


SMALL = LLAMA | {"num_hidden_layers": 1, "vocab_size": 16, "hidden_size": 8, "tie_word_embeddings": False}
NAMES = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight")


def small(folder: Path, names: Iterable[str] = NAMES, files: dict[str, bytes] | None = None, **config: Any) -> Path:
    weights = safetensors(dict.fromkeys(names, ("BF16", (16, 8))))
    return write_folder(folder, config=SMALL | config, files={"model.safetensors": weights, **(files or {})})


def test_a_model_without_the_output_layer_that_it_says_it_has(tmp_path: Path) -> None:
    """SGLang starts with it all the same, and answers from memory that nobody has written to."""
    assert "there is no lm_head" in broken(small(tmp_path / "m")).message
    assert "there is no lm_head" in broken(small(tmp_path / "m", (*NAMES, "model.layers.0.lm_head.weight"))).message
    assert read(small(tmp_path / "m", (*NAMES, "lm_head.weight"))).weight_bytes == 4 * 16 * 8 * 2


@pytest.mark.parametrize(
    ("names", "config"),
    [
        pytest.param(NAMES, {"tie_word_embeddings": True}, id="the embedding serves twice"),
        pytest.param(NAMES, {"tie_word_embeddings": None}, id="not said"),
        pytest.param(NAMES, {"architectures": ["LlamaModel"]}, id="no language model"),
        pytest.param(NAMES, {"architectures": ["LlamaForSequenceClassification"]}, id="a reward model"),
        pytest.param([name.removeprefix("model.") for name in NAMES], {}, id="saved as an embedder"),
        pytest.param((*NAMES, "lm_head.qweight"), {}, id="a quantised output layer"),
    ],
)
def test_models_may_have_no_output_layer(names: Iterable[str], config: dict[str, Any], tmp_path: Path) -> None:
    assert read(small(tmp_path / "m", names, **config)).architecture


def test_sentence_transformers_have_no_output_layer(tmp_path: Path) -> None:
    assert read(small(tmp_path / "m", files={"modules.json": b"[]"})).architecture


def test_a_gguf_file_whose_embedding_contradicts_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(gguf(llama_gguf(), {"token_embd.weight": (0, (128, 3))}))
    assert "'token_embd.weight' is 3 x 128, not 3 x 256" in broken(tmp_path / "x.gguf").message


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only as safetensors"):
        describe(resolve(str(write_folder(tmp_path / "m"))), "gguf")
