from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import describe, fetch, resolve
from llmserve.models.model import Model
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
    assert "'num_attention_heads'" in broken(tmp_path / "m").message


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


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only as safetensors"):
        describe(resolve(str(write_folder(tmp_path / "m"))), "gguf")
