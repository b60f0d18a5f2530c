from __future__ import annotations

import json
import re
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from llmserve import paths
from llmserve.models import architecture, kinship, names, recipes
from llmserve.models.kinship import relative
from llmserve.models.parameters import tensor_groups
from llmserve.models.recipes import GB, Recipe, catalogue
from llmserve.models.variants import fits

RECORDING = Path(__file__).parents[2] / "recordings" / "sglang-parsers.json"
KNOWN: dict[str, Any] = json.loads(RECORDING.read_text(encoding="utf-8"))
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
QUANTISATION = re.compile(r"(I?Q\d\w*|F16|BF16|MXFP4)", re.IGNORECASE)
SHARES = {"fp8": (0.48, 0.75), "awq-int4": (0.25, 0.55), "gptq-int4": (0.25, 0.55), "w4a16": (0.25, 0.65)}
"""Bytes of a quantised checkpoint by those of the bf16 one: small models keep a large embedding as it is."""


@pytest.fixture(params=catalogue(), ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    found = request.param
    assert isinstance(found, Recipe)
    return found


def size(recipe: Recipe) -> int:
    return recipe.sources[0].size_bytes or 0


def test_every_file_is_named_after_its_model() -> None:
    files = {path.stem for path in (paths.templates_dir() / "models").glob("*.toml")}
    assert files == {recipe.name for recipe in catalogue()}


def test_the_promised_models_are_there() -> None:
    assert {
        "tiny", "llama-3-8b", "llama-3.1-8b", "llama-3.1-405b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.3-70b",
        "llama-4-scout", "llama-4-maverick", "qwen2.5-0.5b", "qwen2.5-72b", "qwen2.5-coder-32b", "qwen3-0.6b",
        "qwen3-8b", "qwen3-32b", "qwen3-30b-a3b-instruct-2507", "qwen3-235b-a22b", "qwen3-coder-480b-a35b",
        "qwen3-next-80b-a3b", "qwen3.5-27b", "mistral-7b", "mixtral-8x7b", "mixtral-8x22b", "mistral-small-3.2",
        "devstral-small", "deepseek-v3", "deepseek-r1", "deepseek-v3.2", "deepseek-r1-distill-llama-8b", "kimi-k2",
        "gpt-oss-20b", "gpt-oss-120b", "gemma-3-27b", "gemma-4-31b", "glm-4.5-air", "glm-5", "phi-4", "phi-4-mini",
        "smollm2-360m", "bge-m3", "bge-large-en-v1.5", "multilingual-e5-large", "qwen3-embedding-8b",
    } <= {recipe.name for recipe in catalogue()}  # fmt: skip


def test_every_spelling_is_found_without_parsing_all_files() -> None:
    for spelling, found in names.spellings(catalogue()).items():
        assert names.find(spelling) == found, spelling


def test_relatives_are_found_without_parsing_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """By each repository, variant and name that a fine-tune may be called after."""
    known = [(*one.repos, *(variant.repo for variant in one.variants), one.ungated, one.name) for one in catalogue()]
    origins = sorted({name for names_of_one in known for name in names_of_one if name})
    made = [([origin], "") for origin in origins] + [([], f"my-{origin.rsplit('/', 1)[-1]}_v2") for origin in origins]
    quick = [relative("", "", base, name) for base, name in made]
    monkeypatch.setattr(kinship, "mentioning", lambda _name: catalogue())
    monkeypatch.setattr(kinship, "within", lambda _words: catalogue())
    assert quick == [relative("", "", base, name) for base, name in made]
    assert sum(found is not None for found in quick) > len(origins)


def test_no_spelling_belongs_to_two_models() -> None:
    owners: dict[str, set[str]] = {}
    for recipe in catalogue():
        short = [repo.rsplit("/", 1)[-1] for repo in recipe.repos]
        spelt = (recipe.name, f"{recipe.name}-instruct", f"{recipe.name}-gguf", *recipe.aliases, *recipe.repos, *short)
        for name in spelt:
            owners.setdefault(names.normal(name), set()).add(recipe.name)
    assert {name: sorted(found) for name, found in owners.items() if len(found) > 1} == {}


def every_spelling_finds_its_model(recipe: Recipe) -> None:
    for name in (recipe.name, recipe.name.upper(), recipe.name.replace("-", "_"), *recipe.aliases, *recipe.repos):
        found = names.find(name)
        assert found is not None
        assert found[0] == recipe


def a_name_is_found_as_the_whole_catalogue_would_find_it(recipe: Recipe) -> None:
    assert names.find(recipe.name) == names.spellings(catalogue())[names.normal(recipe.name)]


def values_are_of_their_types(recipe: Recipe) -> None:
    assert all(isinstance(text, str) and text for text in (recipe.family, recipe.parameters, recipe.license))
    assert all(isinstance(text, str) for text in (*recipe.aliases, *recipe.notes))
    assert type(recipe.gated) is bool
    assert type(recipe.rank) is int
    assert recipe.rank >= 0
    assert recipe.task in ("generate", "embed")
    assert 512 <= recipe.context <= 10 * 1024**2


def parsers_exist(recipe: Recipe) -> None:
    assert recipe.tool_call_parser in {None, *KNOWN["tool_call_parser"]}
    assert recipe.reasoning_parser in {None, *KNOWN["reasoning_parser"]}
    assert recipe.task == "generate" or recipe.tool_call_parser is None


def sampling_is_plausible(recipe: Recipe) -> None:
    sampling = recipe.sampling
    assert sampling.temperature is None or 0.1 <= sampling.temperature <= 1.0
    assert sampling.top_p is None or 0.5 <= sampling.top_p <= 1.0
    assert sampling.top_k is None or (type(sampling.top_k) is int and 10 <= sampling.top_k <= 100)
    assert sampling.min_p is None or 0.0 <= sampling.min_p <= 0.1


def sources_are_well_formed(recipe: Recipe) -> None:
    kinds = [source.format for source in recipe.sources]
    assert kinds in (["safetensors"], ["gguf"], ["safetensors", "gguf"])
    for source in recipe.sources:
        assert bool(source.repo) != bool(source.builtin)
        assert source.size_bytes
        assert source.repo is None or HUB_ID.fullmatch(source.repo)
        assert (source.file is not None) == (source.format == "gguf" and source.repo is not None)
        assert source.path is source.revision is None


def gguf_files_are_plausible(recipe: Recipe) -> None:
    """A file of the repository, a glob for its parts, or a quantisation that stands in its name as a word."""
    for source in recipe.sources:
        if source.format != "gguf" or source.builtin:
            continue
        assert source.repo is not None
        assert source.file is not None
        assert "gguf" in source.repo.lower()
        model = source.repo.rsplit("/", 1)[-1].lower().removesuffix("-gguf").rsplit("_", 1)[-1]
        if source.file.lower().endswith(".gguf"):
            assert fnmatch(source.file.lower(), f"{model}*")
            assert QUANTISATION.search(source.file)
        else:
            assert QUANTISATION.fullmatch(source.file)
            assert fits(f"{model}-{source.file}-00001-of-00002.gguf", source.file)


def gguf_files_are_the_smaller_ones(recipe: Recipe) -> None:
    if len(recipe.sources) == 2 and recipe.repos:
        full, quantised = recipe.sources
        assert 0.2 < (quantised.size_bytes or 0) / (full.size_bytes or 1) < 1


def variants_are_well_formed(recipe: Recipe) -> None:
    repos = [variant.repo for variant in recipe.variants]
    assert len(set(repos)) == len(repos)
    assert not set(repos) & set(recipe.repos)
    for variant in recipe.variants:
        assert HUB_ID.fullmatch(variant.repo)
        assert variant.quantization in {*SHARES, "nvfp4"}
        assert _says(variant.repo.lower(), variant.quantization)
        least, most = SHARES.get(variant.quantization, (0.28, 1.0))
        assert least < variant.size_bytes / size(recipe) < most
    order = [[*SHARES, "nvfp4"].index(variant.quantization) for variant in recipe.variants]
    assert order == sorted(order)


def _says(repo: str, quantization: str) -> bool:
    words = {"awq-int4": "awq", "gptq-int4": "gptq", "nvfp4": "fp4"}
    return words.get(quantization, quantization) in repo


def gated_models_are_those_of_owners_who_gate(recipe: Recipe) -> None:
    repo = recipe.repos[0] if recipe.repos else ""
    owner = repo.partition("/")[0]
    if owner == "meta-llama" or repo.startswith("google/gemma-3"):
        assert recipe.gated
    assert not recipe.gated or owner in ("meta-llama", "google", "mistralai")


def minimum_hardware_is_the_next_size_of_card(recipe: Recipe) -> None:
    """Room for the weights and a cache, and not the double of it (below 4 GB any card will do)."""
    if recipe.repos:
        assert recipe.minimum_gb * GB > 1.1 * size(recipe)
        assert recipe.minimum_gb * GB < 2 * size(recipe) + 4 * GB


def test_configurations_give_the_stated_weights(recipe: Recipe) -> None:
    """Computed from the configuration and as downloaded agree within 6 % (``size_gb`` was taken from the hub)."""
    config = recipe.config
    if config is None or recipe.sources[0].format != "safetensors":
        return
    shape = architecture.from_config(config, recipe.name)
    groups = tensor_groups(config, shape)
    computed = sum(group.size_bytes for group in groups)
    head = sum(group.size_bytes for group in groups if group.role == "head")
    possible = [computed]
    if shape.tied_embeddings:  # some checkpoints hold the shared matrix twice
        possible.append(computed + 2 * shape.vocab_size * shape.hidden_size)
    if recipe.task == "embed":  # these are published without the head of their architecture
        possible.append(computed - head)
    if "audio_config" in config:  # the encoder of sounds is left out of the computation
        possible.append(computed + round(0.6 * GB))
    assert min(abs(bytes_ / size(recipe) - 1) for bytes_ in possible) < 0.06


def configurations_are_familiar_and_complete(recipe: Recipe) -> None:
    config = recipe.config
    if config is None:
        return
    shape = architecture.from_config(config, recipe.name)
    assert shape.familiar
    assert shape.model_type
    assert shape.cache or recipe.task == "embed"
    assert sum(group.layers for group in shape.cache) in (0, shape.layers)
    assert shape.context_length in range(recipe.context, recipe.context + 3)  # XLM-R counts two more
    kinds = (config.get("text_config") or config).get("layer_types")
    assert kinds is None or len(kinds) == shape.layers


CHECKS = (
    every_spelling_finds_its_model,
    a_name_is_found_as_the_whole_catalogue_would_find_it,
    values_are_of_their_types,
    parsers_exist,
    sampling_is_plausible,
    sources_are_well_formed,
    gguf_files_are_plausible,
    gguf_files_are_the_smaller_ones,
    variants_are_well_formed,
    gated_models_are_those_of_owners_who_gate,
    minimum_hardware_is_the_next_size_of_card,
    configurations_are_familiar_and_complete,
)  # fmt: skip


def test_each_recipe_is_consistent(recipe: Recipe) -> None:
    for check in CHECKS:
        check(recipe)


def test_most_configurations_are_known() -> None:
    unknown = {recipe.name for recipe in catalogue() if recipe.config is None}
    assert unknown <= {"devstral-small-2", "nomic-embed-text", "qwen3.5-0.8b", "qwen3.5-2b", "tiny"}


def test_only_tiny_is_built_in() -> None:
    assert [recipe.name for recipe in catalogue() if recipe.sources[0].builtin] == ["tiny"]


def test_ranks_are_distinct_and_nobody_must_sign_for_a_default() -> None:
    ranked = recipes.ranked()
    assert len({recipe.rank for recipe in ranked}) == len(ranked)
    assert not any(recipe.gated for recipe in ranked)
    assert all(len(recipe.sources) == 2 and recipe.task == "generate" for recipe in ranked)
    sizes = [size(recipe) for recipe in ranked]
    assert sizes[0] == max(sizes)


def test_the_catalogue_is_sorted_by_family_and_size() -> None:
    keys = [(recipe.task != "generate", recipe.family, size(recipe)) for recipe in catalogue()]
    assert keys == sorted(keys)


def test_a_candidate_carries_what_a_plan_without_a_hub_needs() -> None:
    found = recipes.named("Qwen3_8B")
    assert found is not None
    candidate = found.candidate()
    assert candidate.config is not None
    assert candidate.config["num_hidden_layers"] == 36
    assert [source.repo for source in candidate.variants] == ["Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-8B-AWQ"]
    embedding = recipes.named("qwen3-embedding-4b")
    assert embedding is not None
    assert embedding.candidate().task == "embed"


def test_one_name_reads_one_file() -> None:
    recipes._load.cache_clear()
    assert names.find("qwen3-8b")
    assert recipes._load.cache_info().currsize == 1


def test_the_whole_catalogue_loads_fast() -> None:
    recipes._load.cache_clear()
    began = time.process_time()
    assert len(catalogue.__wrapped__()) > 70
    assert time.process_time() - began < 0.25  # 0.011 s where this was written


@pytest.mark.parametrize(
    ("architecture", "kind", "bases", "name", "expected"),
    [
        ("Qwen3ForCausalLM", "qwen3", ["Qwen/Qwen3-14B"], "me/tuned", "qwen3-14b"),
        ("Qwen3ForCausalLM", "qwen3", [], "Qwen/Qwen3-8B-AWQ", "qwen3-8b"),
        ("Qwen3ForCausalLM", "qwen3", [], "my_Qwen3-4B-v2", "qwen3-4b"),
        ("Qwen3ForCausalLM", "qwen3", [], "no hint at all", "qwen3-8b"),
        ("Qwen3MoeForCausalLM", "qwen3_moe", [], "unsloth/Qwen3-30B-A3B-Instruct-2507-bnb-4bit",
         "qwen3-30b-a3b-instruct-2507"),
        ("LlamaForCausalLM", "llama", ["meta-llama/Llama-3.1-8B"], "org/tulu", "llama-3.1-8b"),
        ("LlamaForCausalLM", "llama", ["meta-llama/Meta-Llama-3-8B"], "org/tuned", "llama-3-8b"),
        ("LlamaForCausalLM", "llama", ["unknown/base", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"], "x",
         "deepseek-r1-distill-llama-8b"),
        ("LlamaForCausalLM", "llama", [], "x", None),
        ("GptOssForCausalLM", "gpt_oss", [], "x", "gpt-oss-20b"),
        ("Phi3ForCausalLM", "phi3", [], "Qwen3-8B lookalike", None),
        ("Phi3ForCausalLM", "phi3", [], "kimi", None),
        ("", "", [], "qwen3-8b-q4", "qwen3-8b"),
        ("Qwen3_5ForConditionalGeneration", "qwen3_5_text", [], "Qwen3.5-27B-tuned", "qwen3.5-27b"),
        ("NovelForCausalLM", "novel", ["org/base"], "x", None),
    ],
)  # fmt: skip
def test_relatives(architecture: str, kind: str, bases: list[str], name: str, expected: str | None) -> None:
    found = relative(architecture, kind, bases, name)
    assert (found.name if found else None) == expected


def test_the_speakers_of_families_exist() -> None:
    for kind, name in kinship._FAMILIES.items():
        found = recipes.named(name)
        assert found is not None
        assert found.config is not None
        assert found.config["model_type"] == kind


@pytest.mark.parametrize("content", ["name = ", 'name = "x"', 'name = "x"\nspeed = 3'])
def test_a_damaged_recipe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "odd.toml").write_text(content)
    monkeypatch.setattr(recipes, "_files", lambda: {"odd": tmp_path / "models" / "odd.toml"})
    with pytest.raises(ValueError, match=r"odd\.toml is not a recipe"):
        catalogue.__wrapped__()
