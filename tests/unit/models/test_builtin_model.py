from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from llmserve.errors import DoesNotFitError, LlmserveError
from llmserve.models import builtin, describe, resolve
from llmserve.models.builtin import bpe, encode, gguf_file, spec, weights
from llmserve.models.headers import gguf, safetensors
from llmserve.models.headers.blob import LocalBlob
from llmserve.models.layers import AttentionLayers
from llmserve.models.model import Format

DIGESTS = {
    "config.json": "92d1ef989c57d75371bee62d67cc790d86837cd36c693d29483aa3bff37a7405",
    "generation_config.json": "9e99b55a4ea01d01598071f29ff068aa64b5c8e332351ff0a40f6fc566977167",
    "model.safetensors": "3d56964d9ecdea86e216ff9b7d60a85581c8bbae6573bd2560a971b56e66d508",
    "special_tokens_map.json": "15a0f5e4794254849609694a4de53c0a629ff5950ec0d69012acb59b3d900a32",
    "tiny.gguf": "13d3a7a7b90dd3523ccccd1b0794117fcd4a42f6f02df65475c9c45fd1590cb6",
    "tokenizer.json": "cd04adb84d9dc36449ae777ef0b947e3aef4c20dffaa6a615cc2437a5c59f07b",
    "tokenizer_config.json": "2f65df85dee54cd318ae8bb42e42784850eabd9941ba3025fe6ae84482fe7655",
}
"""The same on every platform. Where a change is meant, raise ``spec.BUILDER`` and put the new digests here."""

FORMATS: tuple[Format, ...] = ("safetensors", "gguf")


def test_the_bytes_are_pinned(tiny_folder: Path) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tiny_folder.iterdir()}
    assert found == DIGESTS
    assert tiny_folder.name == "tiny-9329ff2b2fbc"
    assert sorted(spec.FILES) == sorted(DIGESTS)


def test_it_is_built_once(home: Path) -> None:
    assert builtin.built("gguf") is None
    first = builtin.build("gguf")
    before = first.stat().st_mtime_ns
    assert builtin.build("gguf") == first == builtin.built("gguf")
    assert builtin.build("safetensors") == first.parent
    assert first.stat().st_mtime_ns == before
    assert [path.name for path in first.parent.parent.iterdir()] == [first.parent.name]


def test_a_damaged_folder_is_built_again(home: Path) -> None:
    path = builtin.build("gguf")
    (path.parent / "tokenizer.json").unlink()
    assert builtin.built("safetensors") is None
    assert (builtin.build("safetensors") / "tokenizer.json").is_file()


def test_processes_that_build_at_once_agree(home: Path) -> None:
    code = "from llmserve.models import builtin; print(builtin.build('gguf'))"
    builders = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {builder.communicate(timeout=60)[0].strip() for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    assert printed == {str(builtin.built("gguf"))}
    assert [path.name for path in builtin.folder().parent.iterdir()] == [builtin.folder().name]
    assert hashlib.sha256((builtin.folder() / "tiny.gguf").read_bytes()).hexdigest() == DIGESTS["tiny.gguf"]


def test_a_cache_that_cannot_be_written_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    with pytest.raises(LlmserveError, match=str(home / "file")) as caught:
        builtin.build("gguf")
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")


def test_a_full_disk_is_exit_code_3(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DoesNotFitError, match="No space left"):
        builtin.build("gguf")
    assert list((builtin.folder().parent).iterdir()) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_its_description_is_what_its_files_say(tiny_folder: Path, kind: Format) -> None:
    known = describe(resolve("tiny"), kind)
    read = describe(resolve(str(tiny_folder)), kind)
    for name in (
        "architecture", "layers", "heads", "kv_heads", "head_dim", "hidden_size", "vocab_size", "context_length",
        "dtype", "weight_bytes", "intermediate_size", "quantization", "chat_template", "basis", "task", "model_type",
        "familiar", "cache", "tensors", "experts", "vision", "tied_embeddings", "mtp_layers", "weight_block",
        "group_size", "kv_cache_dtype",
    ):  # fmt: skip
        assert getattr(known, name) == getattr(read, name), name
    assert known.random_weights
    assert sum(group.size_bytes for group in known.tensors) == known.weight_bytes
    assert known.cache == (AttentionLayers(layers=2, kv_heads=2, key_dim=32, value_dim=32),)
    assert (known.name, known.missing_bytes) == ("tiny", 0)


def test_both_formats_hold_the_same_weights(tiny_folder: Path) -> None:
    matrices = weights.tensors(bpe.vocabulary())
    for tensor in matrices.values():
        halves = struct.unpack(f"<{len(tensor.values)}e", encode.float16(tensor))
        raw = encode.bfloat16(tensor)
        padded = b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2))
        assert struct.unpack(f"<{len(tensor.values)}f", padded) == halves
        assert halves == tuple(value * 2.0**tensor.exponent for value in tensor.values)


def test_the_headers_are_valid(tiny_folder: Path) -> None:
    header = gguf.read_header(LocalBlob.of(tiny_folder / "tiny.gguf"))
    assert header.tensors == safetensors.read_header(LocalBlob.of(tiny_folder / "model.safetensors")).tensors == 21
    assert header.lengths["tokenizer.ggml.tokens"] == 768
    assert header.metadata["tokenizer.ggml.pre"] == "gpt-2"
    config = json.loads((tiny_folder / "tokenizer_config.json").read_text())
    assert header.metadata["tokenizer.chat_template"] == config["chat_template"]


def test_queries_are_reordered_for_llama_cpp() -> None:
    rows = spec.HEADS * spec.HEAD_DIM
    tensor = weights.Tensor((rows, 1), list(range(rows)))
    moved = gguf_file._rotary("x.q_proj.weight", tensor).values
    assert list(moved[:6]) == [0, 16, 1, 17, 2, 18]
    assert list(moved[32:34]) == [32, 48]
    assert gguf_file._rotary("x.v_proj.weight", tensor) is tensor


def test_the_vocabulary_covers_every_byte_and_its_own_text() -> None:
    vocabulary = bpe.vocabulary()
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens) == spec.VOCABULARY
    assert vocabulary.tokens[:3] == spec.SPECIAL_TOKENS
    assert vocabulary.tokens[3 + ord("A")] == "A"
    assert all(left + right in vocabulary.tokens for left, right in vocabulary.merges)
    text = spec.text()
    assert text.isascii()
    spelt = "".join(vocabulary.tokens[i] for i in vocabulary.encode(text))
    assert spelt.replace("Ġ", " ").replace("Ċ", "\n") == text


def test_words_of_the_text_are_tokens() -> None:
    vocabulary = bpe.vocabulary()
    assert [vocabulary.tokens[i] for i in vocabulary.encode("The model and the server")] == [
        "The", "Ġmodel", "Ġand", "Ġthe", "Ġserver",
    ]  # fmt: skip
