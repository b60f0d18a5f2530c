from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmserve.errors import UsageError
from llmserve.models import default_candidates, resolve
from llmserve.models.model import Candidate, Source
from tests.unit.models.checkpoints import write_folder


def refusal(ref: str, revision: str | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(ref, revision=revision)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "ref",
    ["llama-3-8b", "Llama3-8B", "llama_3_8b", "LLAMA-3-8B-Instruct", "llama-3", "Meta-Llama-3-8B-Instruct"],
)
def test_names_are_found_however_they_are_spelt(ref: str) -> None:
    candidate = resolve(ref)
    assert (candidate.recipe, candidate.name, candidate.ref, candidate.gated) == ("llama-3-8b", "llama-3-8b", ref, True)
    assert candidate.formats == ("safetensors", "gguf")


def test_a_known_repository_keeps_its_id_and_gains_its_recipe() -> None:
    candidate = resolve("qwen/qwen3-8b")
    assert candidate.name == "Qwen/Qwen3-8B"
    assert candidate.formats == ("safetensors", "gguf")
    assert (candidate.tool_call_parser, candidate.reasoning_parser) == ("qwen25", "qwen3")


def test_a_known_gguf_repository_stands_for_gguf_alone() -> None:
    candidate = resolve("Qwen/Qwen3-8B-GGUF")
    assert [(source.format, source.file) for source in candidate.sources] == [("gguf", "Qwen3-8B-Q4_K_M.gguf")]
    assert candidate.name == "Qwen/Qwen3-8B-GGUF"


@pytest.mark.parametrize("ref", ["tiny", "TINY", "tiny-llama"])
def test_tiny_is_one_model_in_two_formats(ref: str) -> None:
    assert [source.builtin for source in resolve(ref).sources] == ["tiny", "tiny"]


def test_gguf_after_a_name_chooses_the_format() -> None:
    assert resolve("tiny-gguf").formats == ("gguf",)
    assert resolve("llama-3.1-8b-GGUF").formats == ("gguf",)


@pytest.mark.parametrize("ref", ["qwen3-8b:Q8_0", "Qwen/Qwen3-8B:Q8_0", "Qwen/Qwen3-8B-GGUF:Q8_0"])
def test_a_quantisation_can_be_named(ref: str) -> None:
    (source,) = resolve(ref).sources
    assert source == Source(format="gguf", repo="Qwen/Qwen3-8B-GGUF", file="Q8_0")


def test_any_hub_id() -> None:
    assert resolve("Some-Org/Novel_Model-7B.v2") == Candidate(
        ref="Some-Org/Novel_Model-7B.v2",
        name="Some-Org/Novel_Model-7B.v2",
        sources=(Source(format="safetensors", repo="Some-Org/Novel_Model-7B.v2"),),
    )


@pytest.mark.parametrize(
    ("ref", "repo", "file"),
    [
        ("org/x-GGUF", "org/x-GGUF", None),
        ("org/x-GGUF:Q5_K_M", "org/x-GGUF", "Q5_K_M"),
        ("org/x:x-Q5_K_M.gguf", "org/x", "x-Q5_K_M.gguf"),
        ("org/x:UD/x-Q5_K_M.gguf", "org/x", "UD/x-Q5_K_M.gguf"),
    ],
)
def test_hub_ids_of_gguf(ref: str, repo: str, file: str | None) -> None:
    assert resolve(ref).sources == (Source(format="gguf", repo=repo, file=file),)


def test_a_revision_applies_to_the_repository_that_was_named() -> None:
    assert resolve("org/x", revision="v1").sources[0].revision == "v1"
    (source,) = resolve("qwen3-8b", revision="v1").sources
    assert (source.repo, source.revision) == ("Qwen/Qwen3-8B", "v1")


def test_what_has_no_revisions_says_so(tmp_path: Path) -> None:
    assert refusal("tiny", revision="v1").code == "no_revision"
    assert refusal(str(write_folder(tmp_path / "m")), revision="v1").code == "no_revision"


@pytest.mark.parametrize(("ref", "nearest"), [("lama-3-8b", "llama-3-8b"), ("qwen-3-8", "qwen3-8b"), ("tyni", "tiny")])
def test_a_wrong_name_is_answered_with_near_ones(ref: str, nearest: str) -> None:
    error = refusal(ref)
    assert error.code == "unknown_model"
    assert nearest in (error.hint or "")
    assert "llmserve models" in (error.hint or "")
    assert nearest in error.data["nearest"]


@pytest.mark.parametrize("ref", ["", "a/b/c", "org/", "/", "x y", "org/x:", "tiny:Q4_0", ":", "org/../x"])
def test_odd_references_are_refused(ref: str) -> None:
    refusal(ref)


def test_defaults_are_known_models_the_best_first() -> None:
    found = default_candidates()
    assert found[0].recipe == "qwen3-32b"
    assert "tiny" not in [candidate.recipe for candidate in found]


def test_the_hub_client_is_not_imported_for_what_is_here(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    code = f"""
import sys
from llmserve import models
for ref in ("tiny", {str(folder)!r}):
    models.describe(models.resolve(ref), "safetensors")
print([name for name in ("huggingface_hub", "httpx2", "concurrent.futures.thread") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
