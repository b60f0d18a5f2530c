"""Fine-tunes take parsers and sampling from the model that they were made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llmserve.models.kinship import inherit, named_by_card
from llmserve.models.model import Candidate, Sampling, Source
from llmserve.models.resolve import resolve
from tests.fakes.machines import llama_8b

SOURCE = Source(format="safetensors", repo="me/tune")
CANDIDATE = Candidate(ref="me/tune", name="me/tune", sources=(SOURCE,))


def test_a_card_names_the_relative() -> None:
    tune = llama_8b(name="me/tune", model_type="llama", base_models=("meta-llama/Llama-3.1-8B-Instruct",))
    assert inherit(CANDIDATE, tune).tool_call_parser == "llama3"


def test_a_name_that_holds_a_known_one_is_a_relative() -> None:
    tune = llama_8b(name="me/qwen3-8b-lora-merged", model_type="qwen3", architecture="Qwen3ForCausalLM")
    found = inherit(CANDIDATE, tune)
    assert (found.tool_call_parser, found.reasoning_parser) == ("qwen25", "qwen3")
    assert found.sampling != Sampling()


def test_another_architecture_is_no_relative() -> None:
    other = llama_8b(name="me/x", model_type="novel", architecture="Novel", base_models=("Qwen/Qwen3-8B",))
    assert inherit(CANDIDATE, other) == other


def test_a_recipe_of_its_own_comes_first() -> None:
    known = resolve("qwen3-8b")
    model = llama_8b(name="qwen3-8b", model_type="llama", base_models=("meta-llama/Llama-3.1-8B-Instruct",))
    assert inherit(known, model) is model
    assert inherit(CANDIDATE, replace(model, random_weights=True)).tool_call_parser is None


def test_the_card_of_a_folder_names_its_bases(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\nbase_model: org/one\ntags: [a]\n---\nbase_model: not/this\n")
    assert named_by_card(tmp_path) == ("org/one",)
    card.write_text("---\nbase_model:\n- org/one\n- 'org/two'\nlicense: mit\n---\n")
    assert named_by_card(tmp_path) == ("org/one", "org/two")
    card.write_text("no front matter, base_model: org/one")
    assert named_by_card(tmp_path) == ()
    card.unlink()
    assert named_by_card(tmp_path) == ()
