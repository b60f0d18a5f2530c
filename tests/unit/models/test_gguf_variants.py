from __future__ import annotations

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models.model import Source
from llmserve.models.variants import choose, fits

REPO = (
    "m-BF16.gguf",
    "m-F16.gguf",
    "m-Q4_K_M.gguf",
    "m-Q4_K_S.gguf",
    "m-Q8_0.gguf",
    "mmproj-m-F16.gguf",
    "m.imatrix.gguf",
)


def chosen(file: str | None, *names: str) -> tuple[str, ...]:
    return choose(Source(format="gguf", repo="org/m", file=file), dict.fromkeys(names or REPO, 1))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, "m-Q4_K_M.gguf"),
        ("q8_0", "m-Q8_0.gguf"),
        ("F16", "m-F16.gguf"),
        ("BF16", "m-BF16.gguf"),
        ("m-q4_k_s.gguf", "m-Q4_K_S.gguf"),
        ("*Q8*.gguf", "m-Q8_0.gguf"),
    ],
)
def test_one_file_is_chosen(file: str | None, expected: str) -> None:
    assert chosen(file) == (expected,)


def test_a_single_file_needs_no_name() -> None:
    assert chosen(None, "odd.gguf") == ("odd.gguf",)


def test_all_parts_of_a_split_file_are_chosen() -> None:
    parts = ("Q8/m-Q8_0-00001-of-00002.gguf", "Q8/m-Q8_0-00002-of-00002.gguf")
    assert chosen("Q8_0", *reversed(parts), "m-Q4_0.gguf") == parts
    assert chosen("m-q8_0*.gguf", *parts) == parts


def test_a_split_file_must_be_whole() -> None:
    with pytest.raises(LlmserveError, match="m-00002-of-00002"):
        chosen(None, "m-00001-of-00002.gguf")


@pytest.mark.parametrize("file", ["Q5_K_M", "other.gguf"])
def test_an_absent_file_is_answered_with_what_is_there(file: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(file)
    assert caught.value.code == "unknown_file"
    assert "m-Q4_K_M.gguf" in (caught.value.hint or "")
    assert "mmproj" not in (caught.value.hint or "")


@pytest.mark.parametrize("file", ["*.gguf", None])
def test_several_that_fit_are_named(file: str | None) -> None:
    with pytest.raises(UsageError, match="several") as caught:
        chosen(file, "a.gguf", "b.gguf")
    assert "org/m:a.gguf" in (caught.value.hint or "")


def test_a_repository_without_gguf() -> None:
    with pytest.raises(UsageError, match="no GGUF files"):
        chosen(None, "model.safetensors")


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [("m-Q4_K_M.gguf", "Q4_K", False), ("m.q4_k_m.gguf", "Q4_K_M", True), ("Q4_K_M/m.gguf", "q4_k_m", True)],
)
def test_a_quantisation_is_a_whole_word(name: str, wanted: str, expected: bool) -> None:
    assert fits(name, wanted) is expected
