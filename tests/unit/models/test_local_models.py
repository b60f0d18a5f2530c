"""Paths: what is a model, and what is wrong with the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError
from llmserve.models import resolve
from llmserve.models.model import Source
from tests.unit.models.checkpoints import write_folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "desk"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def wrong(ref: str) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        resolve(ref)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("ref", ["./m", "m", "sub/m", "../desk/m", "{here}/m", "~/desk/m"])
def test_a_folder_is_found_in_every_spelling(here: Path, ref: str) -> None:
    write_folder(here / "m")
    write_folder(here / "sub" / "m")
    candidate = resolve(ref.format(here=here))
    place = here / "sub" / "m" if ref.startswith("sub") else here / "m"
    assert candidate.sources == (Source(format="safetensors", path=str(place)),)
    assert candidate.name == "m"


def test_a_gguf_file(here: Path) -> None:
    (here / "My-Model.Q4.gguf").write_bytes(b"GGUF")
    candidate = resolve("My-Model.Q4.gguf")
    assert candidate.sources == (Source(format="gguf", path=str(here / "My-Model.Q4.gguf")),)
    assert candidate.name == "My-Model.Q4"


def test_any_part_of_a_split_model_means_its_first(here: Path) -> None:
    (here / "m-00002-of-00003.gguf").write_bytes(b"GGUF")
    assert resolve("./m-00002-of-00003.gguf").sources[0].path == str(here / "m-00001-of-00003.gguf")


def test_a_folder_with_one_gguf(here: Path) -> None:
    (here / "m").mkdir()
    (here / "m" / "x.gguf").write_bytes(b"GGUF")
    (here / "m" / "mmproj-x.gguf").write_bytes(b"GGUF")
    assert resolve("./m").sources == (Source(format="gguf", path=str(here / "m" / "x.gguf")),)


def test_a_folder_with_a_split_gguf(here: Path) -> None:
    (here / "m").mkdir()
    for i in (1, 2):
        (here / "m" / f"x-0000{i}-of-00002.gguf").write_bytes(b"GGUF")
    assert resolve("./m").sources[0].path == str(here / "m" / "x-00001-of-00002.gguf")


def test_a_folder_with_both_formats(here: Path) -> None:
    write_folder(here / "m", files={"x.gguf": b"GGUF"})
    assert resolve("./m").formats == ("safetensors", "gguf")


def test_a_known_name_is_not_hidden_by_any_folder(here: Path) -> None:
    (here / "tiny").mkdir()
    assert resolve("tiny").recipe == "tiny"
    write_folder(here / "tiny")
    assert resolve("tiny").sources[0].path == str(here / "tiny")


@pytest.mark.parametrize("ref", ["./absent", "/absent/x", "../absent", "~/absent", "absent.gguf", "sub/absent.gguf"])
def test_nothing_there(ref: str) -> None:
    error = wrong(ref)
    assert error.code == "not_a_model"
    assert error.message == f"There is nothing at {ref}."


def test_an_empty_folder(here: Path) -> None:
    (here / "m").mkdir()
    assert "empty folder" in wrong("./m").message


def test_a_folder_without_configuration(here: Path) -> None:
    (write_folder(here / "m") / "config.json").unlink()
    assert wrong("./m").message == "./m has safetensors but no config.json."


def test_a_folder_with_other_things(here: Path) -> None:
    (here / "m").mkdir()
    (here / "m" / "notes.txt").write_text("x")
    assert "neither config.json nor a .gguf file" in wrong("./m").message


def test_a_folder_without_weights(here: Path) -> None:
    (write_folder(here / "m") / "model.safetensors").unlink()
    error = wrong("./m")
    assert error.code == "no_weights"
    assert "has no weights" in error.message


def test_a_folder_with_pickles_only(here: Path) -> None:
    write_folder(here / "m", files={"pytorch_model.bin": b"x"})
    (here / "m" / "model.safetensors").unlink()
    assert "only pickle weights (pytorch_model.bin)" in wrong("./m").message


def test_an_adapter_is_no_model(here: Path) -> None:
    write_folder(here / "m", files={"adapter_model.safetensors": b"x"})
    (here / "m" / "model.safetensors").unlink()
    assert "only an adapter (adapter_model.safetensors)" in wrong("./m").message


def test_several_ggufs_are_named(here: Path) -> None:
    (here / "m").mkdir()
    for name in ("b.gguf", "a.gguf"):
        (here / "m" / name).write_bytes(b"GGUF")
    error = wrong("./m")
    assert error.message == "./m holds 2 GGUF models: a.gguf, b.gguf."
    assert str(here / "m" / "a.gguf") in (error.hint or "")


def test_a_missing_shard_is_named(here: Path) -> None:
    (write_folder(here / "m", shards=3) / "model-00002-of-00003.safetensors").unlink()
    error = wrong("./m")
    assert error.code == "broken_checkpoint"
    assert "model-00002-of-00003.safetensors" in error.message


def test_a_file_that_is_no_gguf(here: Path) -> None:
    (here / "model.safetensors").write_bytes(b"x")
    assert wrong("./model.safetensors").message == "./model.safetensors is not a .gguf file."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(here: Path) -> None:
    write_folder(here / "m").chmod(0)
    try:
        assert "cannot be read" in wrong("./m").message
    finally:
        (here / "m").chmod(0o700)
