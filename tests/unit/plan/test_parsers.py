"""Parsers by recipe, by family, and left to SGLang. The names are those of the release that the recording is from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmserve.models import architecture, assembly
from llmserve.models.model import Model, Source
from llmserve.models.recipes import Recipe, catalogue
from llmserve.plan.sglang import parsers as module
from llmserve.plan.sglang.parsers import parsers
from tests.fakes.machines import llama_8b

RECORDING = Path(__file__).parents[2] / "recordings" / "sglang-parsers.json"
KNOWN: dict[str, Any] = json.loads(RECORDING.read_text(encoding="utf-8"))
TOOL, REASONING = {*KNOWN["tool_call_parser"]}, {*KNOWN["reasoning_parser"]}


def model(name: str, kind: str, architecture: str = "", **changes: Any) -> Model:
    source = Source(format="safetensors", repo=name if "/" in name else None)
    return replace(llama_8b(), name=name, source=source, model_type=kind, architecture=architecture, **changes)


def chosen(name: str, kind: str, architecture: str = "") -> tuple[str | None, str | None]:
    found = parsers(model(name, kind, architecture))
    return found.tool, found.reasoning


def of_recipe(recipe: Recipe) -> Model:
    assert recipe.config is not None
    candidate = recipe.candidate()
    shape = architecture.from_config(recipe.config, recipe.name)
    return assembly.model(candidate, candidate.sources[0], shape, ())


CONFIGURED = [recipe for recipe in catalogue() if recipe.config]


@pytest.mark.parametrize("recipe", CONFIGURED, ids=lambda recipe: recipe.name)
def test_the_table_agrees_with_the_recipes(recipe: Recipe) -> None:
    """A recipe's own choice counts, and its family's rule says the same, or leaves it to the chat template."""
    described = of_recipe(recipe)
    with_recipe = parsers(described, recipe_tool=recipe.tool_call_parser, recipe_reasoning=recipe.reasoning_parser)
    assert (with_recipe.tool, with_recipe.reasoning) == (recipe.tool_call_parser, recipe.reasoning_parser)
    alone = parsers(described)
    assert alone.tool == recipe.tool_call_parser
    assert alone.reasoning in (recipe.reasoning_parser, "auto")


def test_every_parser_in_the_table_exists() -> None:
    for family in module._FAMILIES:
        assert family.tool in {None, "auto", *TOOL}, family.label
        assert family.reasoning in {None, "auto", *REASONING}, family.label


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("me/Llama-3.1-8B-Instruct-abliterated", "llama", ("llama3", None)),
        ("Meta-Llama-3-8B-Instruct", "llama", (None, None)),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "llama", ("hermes", None)),
        ("NousResearch/Hermes-4-70B", "llama", ("hermes", "auto")),
        ("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "qwen3", (None, "deepseek-r1")),
        ("deepseek-ai/DeepSeek-V3.1-Terminus", "deepseek_v3", ("deepseekv31", "deepseek-v3")),
        ("Qwen/Qwen3-4B-Thinking-2507-FP8", "qwen3", ("qwen25", "qwen3-thinking")),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct-FP8", "qwen3_next", ("qwen25", None)),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", (None, None)),
        ("open-thoughts/OpenThinker3-7B", "qwen2", ("qwen25", "auto")),
        ("mistralai/Magistral-Small-2509", "mistral3", ("mistral", "mistral")),
        ("mistralai/Ministral-3-8B-Reasoning-2512", "mistral3", ("mistral", "mistral")),
        ("HuggingFaceH4/zephyr-7b-beta", "mistral", ("auto", "auto")),
        ("zai-org/GLM-4.7", "glm4_moe", ("glm47", "glm45")),
        ("moonshotai/Kimi-K2-Instruct-0905", "kimi_k2", ("kimi_k2", None)),
        ("microsoft/Phi-4-mini-reasoning", "phi3", (None, "deepseek-r1")),
        ("google/functiongemma-270m-it", "gemma3_text", ("auto", "auto")),
        ("CohereLabs/c4ai-command-a-03-2025", "cohere2", ("cohere_command4", "cohere_command4")),
        ("arcee-ai/Trinity-Mini", "afmoe", ("trinity", "auto")),
        ("org/never-heard-of", "novel", ("auto", "auto")),
    ],
)
def test_families(name: str, kind: str, expected: tuple[str | None, str | None]) -> None:
    assert chosen(name, kind) == expected


def test_the_architecture_tells_where_no_type_does() -> None:
    assert chosen("folder", "", "Qwen3_5MoeForConditionalGeneration") == ("qwen3_coder", "qwen3")
    assert chosen("folder", "", "GptOssForCausalLM") == ("gpt-oss", "gpt-oss")
    assert chosen("folder", "qwen3_5_moe_text") == ("qwen3_coder", "qwen3")


def test_a_recipe_counts_before_the_family() -> None:
    found = parsers(model("tuned", "qwen3"), recipe_tool="qwen3_coder", recipe_reasoning="qwen3")
    assert (found.tool, found.reasoning) == ("qwen3_coder", "qwen3")
    assert found.tool_reason == found.reasoning_reason == "the recipe of this model"


def test_a_fine_tune_with_a_format_of_its_own_does_not_inherit() -> None:
    found = parsers(model("NousResearch/Hermes-3-Llama-3.1-8B", "llama"), recipe_tool="llama3")
    assert (found.tool, found.tool_reason) == ("hermes", "the format of Hermes")


def test_a_recipe_that_names_one_parser_alone_rules_the_other_out() -> None:
    found = parsers(model("tiny", "novel"), recipe_tool="qwen25")
    assert (found.tool, found.reasoning) == ("qwen25", None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"task": "embed"}, "the model writes no text"),
        ({"task": "reward"}, "the model writes no text"),
        ({"chat_template": False}, "the model has no chat template"),
    ],
)
def test_models_without_a_conversation_need_none(changes: dict[str, Any], why: str) -> None:
    found = parsers(model("qwen3-8b", "qwen3", **changes), recipe_tool="qwen25", recipe_reasoning="qwen3")
    assert (found.tool, found.reasoning) == (None, None)
    assert found.tool_reason == found.reasoning_reason == why


def test_some_architectures_need_no_template() -> None:
    bare = model("deepseek-v3.2", "deepseek_v32", "DeepseekV32ForCausalLM", chat_template=False)
    assert (parsers(bare).tool, parsers(bare).reasoning) == ("deepseekv32", "deepseek-v3")


def test_reasons_are_one_clause() -> None:
    for name, kind in (("qwen3-8b", "qwen3"), ("llama-3-8b", "llama"), ("x", "novel")):
        found = parsers(model(name, kind))
        for reason in (found.tool_reason, found.reasoning_reason):
            assert reason
            assert "\n" not in reason
            assert not reason.endswith(".")
