"""Models whose weights are out of reach: enough for a plan, never for a server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import LlmserveError, NeedsAccessError
from llmserve.models import describe, resolve
from llmserve.models.model import Candidate, Model, Source
from tests.fakes.hub import FakeHub
from tests.unit.models.checkpoints import LLAMA, gguf, llama_gguf, write_folder

LLAMA_3_8B = 16_060_522_496
"""Bytes of Meta-Llama-3-8B's tensors, as its index says."""

KNOWN = Candidate(
    ref="llama", name="llama", recipe="llama", gated=True, config=LLAMA,
    sources=(
        Source(format="safetensors", repo="org/gated", size_bytes=16_000_000_000),
        Source(format="gguf", repo="org/gated-GGUF", file="x-Q4_K_M.gguf", size_bytes=5_000_000_000),
    ),
)  # fmt: skip


def folder(path: Path, config: dict[str, Any] = LLAMA, *, total: Any = None) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    if total is not None:
        index = {"metadata": {"total_size": total}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def planned(path: Path) -> Model:
    return describe(resolve(str(path), planning=True), "safetensors", planning=True)


def refused(path: Path) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        planned(path)
    return caught.value


def test_a_configuration_alone(tmp_path: Path) -> None:
    model = planned(folder(tmp_path / "m"))
    assert (model.basis, model.name, model.layers, model.path) == ("config", "m", 32, None)
    assert model.weight_bytes == sum(group.size_bytes for group in model.tensors)
    assert model.weight_bytes == pytest.approx(LLAMA_3_8B, rel=1e-3)
    assert (model.chat_template, model.missing_bytes, model.files) == (True, 0, ())


@pytest.mark.parametrize("total", [LLAMA_3_8B, float(LLAMA_3_8B), LLAMA_3_8B + 700_000_001])
def test_the_total_of_an_index_is_exact(tmp_path: Path, total: float) -> None:
    assert planned(folder(tmp_path / "m", total=total)).weight_bytes == int(total)


@pytest.mark.parametrize("total", [2 * LLAMA_3_8B, LLAMA_3_8B // 2, 0, -1, "x", None, []])
def test_a_total_that_cannot_be_right_is_left_out(tmp_path: Path, total: Any) -> None:
    without = planned(folder(tmp_path / "without")).weight_bytes
    assert planned(folder(tmp_path / "m", total=total)).weight_bytes == without


@pytest.mark.parametrize(
    ("there", "words"),
    [(range(31), "the weights end with layer 31"), ([*range(9), *range(10, 32)], "the weights lack layer 10")],
)
def test_an_index_that_lacks_layers(tmp_path: Path, there: Iterable[int], words: str) -> None:
    path = folder(tmp_path / "m", total=LLAMA_3_8B)
    names = {f"model.layers.{layer}.mlp.up_proj.weight": "model-00001-of-00001.safetensors" for layer in there}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    error = refused(path)
    assert error.code == "broken_checkpoint"
    assert f"that says 32 layers, and {words}" in error.message


def test_the_total_counts_for_an_architecture_that_nobody_knows(tmp_path: Path) -> None:
    novel = LLAMA | {"model_type": "novel", "architectures": ["NovelForCausalLM"]}
    model = planned(folder(tmp_path / "m", novel, total=30_000_000_000))
    assert (model.familiar, model.weight_bytes) == (False, 30_000_000_000)


def test_without_planning_weights_are_wanted(tmp_path: Path) -> None:
    path = folder(tmp_path / "m")
    with pytest.raises(LlmserveError) as caught:
        resolve(str(path))
    assert caught.value.code == "no_weights"
    with pytest.raises(LlmserveError) as caught:
        describe(resolve(str(path), planning=True), "safetensors")
    assert caught.value.code == "no_weights"


def test_where_weights_are_they_are_read(tmp_path: Path) -> None:
    assert planned(write_folder(tmp_path / "m")).basis == "headers"


def test_broken_weights_are_not_replaced_by_figures(tmp_path: Path) -> None:
    (write_folder(tmp_path / "m", shards=2) / "model-00002-of-00002.safetensors").unlink()
    assert refused(tmp_path / "m").code == "broken_checkpoint"


def test_a_gguf_file_beside_a_configuration_is_what_is_planned(tmp_path: Path) -> None:
    (folder(tmp_path / "m") / "x.gguf").write_bytes(gguf(llama_gguf(), {"token_embd.weight": (12, (256, 3))}))
    assert resolve(str(tmp_path / "m"), planning=True).formats == ("gguf",)


@pytest.mark.parametrize(("config", "words"), [({"hidden_size": 8}, "num_hidden_layers"), ([], "not a JSON object")])
def test_a_configuration_that_says_too_little(tmp_path: Path, config: Any, words: str) -> None:
    error = refused(folder(tmp_path / "m", config))
    assert error.code == "broken_checkpoint"
    assert words in error.message


def test_a_recipe_stands_in_for_a_hub_that_cannot_be_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = describe(KNOWN, "safetensors", planning=True)
    assert (model.basis, model.layers, model.revision, model.path) == ("recipe", 32, None, None)
    assert model.weight_bytes == pytest.approx(LLAMA_3_8B, rel=1e-3)
    assert model.missing_bytes == model.weight_bytes
    assert hub.requests == []


def test_a_recipe_stands_in_for_a_gated_repository(hub: FakeHub) -> None:
    assert describe(KNOWN, "safetensors", planning=True).basis == "recipe"


def test_a_recipe_stands_in_for_a_hub_that_is_down(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert describe(KNOWN, "safetensors", planning=True).basis == "recipe"


def test_a_gguf_file_has_the_size_that_its_recipe_says(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = describe(KNOWN, "gguf", planning=True)
    assert (model.weight_bytes, model.dtype, model.quantization) == (5_000_000_000, "float16", "Q4_K_M")
    assert {group.dtype for group in model.tensors} == {"Q4_K_M"}
    with pytest.raises(LlmserveError) as caught:  # another file was named: nothing is known of its size
        describe(replace(KNOWN, sources=(Source(format="gguf", repo="org/x", file="Q8_0"),)), "gguf", planning=True)
    assert caught.value.code == "hub_offline"


def test_an_image_encoder_is_no_part_of_a_gguf_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    vision = {"model_type": "siglip_vision_model", "hidden_size": 1152, "num_hidden_layers": 27, "image_size": 896,
              "intermediate_size": 4304, "num_attention_heads": 16, "patch_size": 14}  # fmt: skip
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "vision_config": vision,
              "text_config": LLAMA | {"model_type": "gemma3_text"}}  # fmt: skip
    known = replace(KNOWN, config=config)
    assert "vision" in {group.role for group in describe(known, "safetensors", planning=True).tensors}
    model = describe(known, "gguf", planning=True)
    assert (model.vision, model.weight_bytes) == (None, 5_000_000_000)
    assert "vision" not in {group.role for group in model.tensors}


@pytest.mark.parametrize("file", ["x-Q4_K_M.gguf", "x-q4_k_m*.gguf", "Q4_K_M"])
def test_the_quantisation_of_a_gguf_file_is_in_its_name(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    known = replace(KNOWN, sources=(replace(KNOWN.source("gguf"), file=file),))
    assert describe(known, "gguf", planning=True).quantization == "Q4_K_M"


def test_a_repository_that_can_be_read_is_read(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "reader")
    model = describe(KNOWN, "safetensors", planning=True)
    assert (model.basis, model.layers) == ("headers", 2)


def test_without_figures_the_error_stays(hub: FakeHub) -> None:
    with pytest.raises(NeedsAccessError):
        describe(replace(KNOWN, config=None), "safetensors", planning=True)
    with pytest.raises(NeedsAccessError):
        describe(KNOWN, "safetensors")


def test_a_name_that_the_hub_does_not_know_is_no_matter_of_reach(hub: FakeHub) -> None:
    gone = replace(KNOWN, sources=(Source(format="safetensors", repo="org/gone"),))
    with pytest.raises(LlmserveError) as caught:
        describe(gone, "safetensors", planning=True)
    assert caught.value.code == "unknown_model"
