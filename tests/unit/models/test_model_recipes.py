from __future__ import annotations

from pathlib import Path

import pytest

from llmserve import paths
from llmserve.models import names, recipes
from llmserve.models.recipes import Recipe, catalogue

TOOL_PARSERS = {None, "llama3", "qwen25", "mistral"}
REASONING_PARSERS = {None, "qwen3"}


@pytest.fixture(params=catalogue(), ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    found = request.param
    assert isinstance(found, Recipe)
    return found


def test_every_file_is_named_after_its_model() -> None:
    files = {path.stem for path in (paths.templates_dir() / "models").glob("*.toml")}
    assert files == {recipe.name for recipe in catalogue()}


def test_the_promised_models_are_there() -> None:
    assert {
        "tiny", "llama-3-8b", "llama-3.1-8b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.3-70b", "qwen2.5-0.5b",
        "qwen2.5-1.5b", "qwen2.5-7b", "qwen3-0.6b", "qwen3-4b", "qwen3-8b", "qwen3-32b", "mistral-7b", "smollm2-360m",
        "phi-4",
    } <= {recipe.name for recipe in catalogue()}  # fmt: skip


def test_no_spelling_belongs_to_two_models() -> None:
    owners: dict[str, set[str]] = {}
    for recipe in catalogue():
        for name in (recipe.name, f"{recipe.name}-instruct", f"{recipe.name}-gguf", *recipe.aliases, *recipe.repos):
            owners.setdefault(names.normal(name), set()).add(recipe.name)
    assert {name: sorted(found) for name, found in owners.items() if len(found) > 1} == {}


def test_every_spelling_finds_its_model(recipe: Recipe) -> None:
    for name in (recipe.name, recipe.name.upper(), recipe.name.replace("-", "_"), *recipe.aliases, *recipe.repos):
        found = names.find(name)
        assert found is not None
        assert found[0] == recipe


def test_values_are_of_their_types(recipe: Recipe) -> None:
    assert all(isinstance(text, str) and text for text in (recipe.family, recipe.parameters, recipe.license))
    assert all(isinstance(alias, str) for alias in recipe.aliases)
    assert type(recipe.gated) is bool
    assert type(recipe.rank) is int
    assert recipe.rank >= 0
    assert 1024 <= recipe.context <= 1_048_576
    assert recipe.tool_call_parser in TOOL_PARSERS
    assert recipe.reasoning_parser in REASONING_PARSERS


def test_every_model_has_both_formats(recipe: Recipe) -> None:
    assert [source.format for source in recipe.sources] == ["safetensors", "gguf"]
    for source in recipe.sources:
        assert bool(source.repo) != bool(source.builtin)
        assert source.size_bytes
        assert source.repo is None or source.repo.count("/") == 1
    full, quantised = recipe.sources
    assert (quantised.size_bytes or 0) <= (full.size_bytes or 0)
    assert quantised.builtin or (quantised.file or "").endswith(".gguf")


def test_only_tiny_is_built_in() -> None:
    assert [recipe.name for recipe in catalogue() if recipe.sources[0].builtin] == ["tiny"]


def test_ranks_are_distinct_and_nobody_must_sign_for_a_default() -> None:
    ranked = recipes.ranked()
    assert len({recipe.rank for recipe in ranked}) == len(ranked)
    assert not any(recipe.gated for recipe in ranked)
    sizes = [recipe.sources[0].size_bytes or 0 for recipe in ranked]
    assert sizes[0] == max(sizes)


def test_the_catalogue_is_sorted_by_family_and_size() -> None:
    keys = [(recipe.family, recipe.sources[0].size_bytes or 0) for recipe in catalogue()]
    assert keys == sorted(keys)


@pytest.mark.parametrize("content", ["name = ", 'name = "x"', 'name = "x"\nspeed = 3'])
def test_a_damaged_recipe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "odd.toml").write_text(content)
    monkeypatch.setattr(paths, "templates_dir", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"odd\.toml is not a recipe"):
        catalogue.__wrapped__()
