"""Which of SGLang's parsers turn a model's text into tool calls and reasoning.

``auto`` reads the chat template. It has no rule for some families, and a wrong one for others: templates of DeepSeek V3
and R1 look to it like those of V3.1, and a template that opens ``<think>`` like R1's. Those are named here. Source:
``srt/parser/template_detection.py`` of SGLang 0.5.23.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmserve.models.model import Model

AUTO = "auto"

_AUTO_WHY = "SGLang reads it from the chat template"
_NO_TOOLS = "was not trained to call tools in a form that SGLang knows"
_NO_THOUGHT = "answers without thinking first"


@dataclass(frozen=True, kw_only=True)
class Parsers:
    """Names for ``--tool-call-parser`` and ``--reasoning-parser`` (None: leave the flag out), and a clause why."""

    tool: str | None
    reasoning: str | None
    tool_reason: str
    reasoning_reason: str


@dataclass(frozen=True, kw_only=True)
class _Family:
    """Models by ``model_type`` (none: any) and a pattern in their name; ``tool``, ``reasoning`` as in ``Parsers``."""

    label: str
    types: str = ""
    name: str = ""
    tool: str | None = None
    reasoning: str | None = None

    def holds(self, kinds: set[str], name: str) -> bool:
        typed = not self.types or not kinds.isdisjoint(map(_kind, self.types.split()))
        return typed and re.search(self.name, name) is not None


def parsers(model: Model, *, recipe_tool: str | None = None, recipe_reasoning: str | None = None) -> Parsers:
    """The parsers for ``model``: what its recipe (or that of the model it was made from) says, then its family, then
    ``auto``. None for embedding and reward models, and for base models, which have no chat template."""
    if why := _wordless(model):
        return Parsers(tool=None, reasoning=None, tool_reason=why, reasoning_reason=why)
    name = f"{model.name} {model.source.repo or ''}".lower()
    kinds = {_kind(model.model_type), _kind(model.architecture)}
    unknown = _SILENT if recipe_tool or recipe_reasoning else _UNKNOWN
    family = next((family for family in _FAMILIES if family.holds(kinds, name)), unknown)
    tool, tool_reason = _choice(recipe_tool, family, family.tool, _NO_TOOLS)
    reasoning, reasoning_reason = _choice(recipe_reasoning, family, family.reasoning, _NO_THOUGHT)
    return Parsers(tool=tool, reasoning=reasoning, tool_reason=tool_reason, reasoning_reason=reasoning_reason)


def _wordless(model: Model) -> str | None:
    """Why nothing that the model says needs parsing."""
    if model.task != "generate":
        return "the model writes no text"
    if not model.chat_template and not model.architecture.startswith(_WITHOUT_TEMPLATE):
        return "the model has no chat template"
    return None


def _choice(recipe: str | None, family: _Family, parser: str | None, why_none: str) -> tuple[str | None, str]:
    if recipe and family.label not in _OWN_FORMAT:
        return recipe, "the recipe of this model"
    if parser == AUTO:
        return AUTO, _AUTO_WHY
    return parser, f"the format of {family.label}" if parser else f"{family.label} {why_none}"


def _kind(name: str) -> str:
    """``qwen3_5_moe_text`` and ``Qwen3_5MoeForConditionalGeneration`` are one."""
    plain = re.sub(r"For(CausalLM|ConditionalGeneration)$", "", name).lower().replace("_", "")
    return plain.removesuffix("text")


_WITHOUT_TEMPLATE = (
    "DeepseekV3", "DeepseekV4", "KimiK3", "MiniMaxM2", "MiniMaxM3", "BailingMoeV3", "IQuestQ1", "Inkling",
)  # fmt: skip
"""Architectures whose prompts SGLang writes itself, or whose parsers it knows without a template."""

_OWN_FORMAT = ("Hermes",)
"""Fine-tunes that call tools in another form than the model they were made from."""

_UNKNOWN = _Family(label="", tool=AUTO, reasoning=AUTO)
_SILENT = _Family(label="a model with this recipe")
_QWEN3 = "qwen3 qwen3_moe qwen3_next qwen3_vl qwen3_vl_moe"
_GEMMA = "gemma gemma2 gemma3 gemma3n"
_MISTRAL = "mistral mistral3 ministral3 mixtral pixtral"

_FAMILIES = (
    _Family(label="Hermes", name=r"hermes-(2-pro|3)", tool="hermes"),
    _Family(label="Hermes", name=r"hermes-4", tool="hermes", reasoning=AUTO),
    _Family(label="R1 Distill", name=r"r1-distill|r1-0528-qwen3", reasoning="deepseek-r1"),
    _Family(label="DeepSeek V3.2", types="deepseek_v32", tool="deepseekv32", reasoning="deepseek-v3"),
    _Family(label="DeepSeek V3.1", types="deepseek_v3", name=r"v3\.1", tool="deepseekv31", reasoning="deepseek-v3"),
    _Family(label="DeepSeek R1", types="deepseek_v3", name=r"deepseek-r1", tool="deepseekv3", reasoning="deepseek-r1"),
    _Family(label="DeepSeek V3", types="deepseek_v3", name=r"deepseek-v3(?!\.)", tool="deepseekv3"),
    _Family(label="Llama 4", types="llama4", tool="pythonic"),
    _Family(label="Llama 3.1 and later", types="llama mllama", name=r"llama-?3\.[123]", tool="llama3"),
    _Family(label="Llama 3", types="llama", name=r"llama-?3(?!\.\d)"),
    _Family(label="Qwen3-Coder", types=_QWEN3, name="coder", tool="qwen3_coder"),
    _Family(label="Qwen3 Thinking", types=_QWEN3, name="thinking", tool="qwen25", reasoning="qwen3-thinking"),
    _Family(label="Qwen3 Instruct", types=_QWEN3, name=r"instruct|qwen3-(next|vl)", tool="qwen25"),
    _Family(label="Qwen3", types=_QWEN3, tool="qwen25", reasoning=AUTO),
    _Family(label="Qwen3.5", types="qwen3_5 qwen3_5_moe", tool="qwen3_coder", reasoning="qwen3"),
    _Family(label="QwQ", types="qwen2", name="qwq", tool="qwen25", reasoning="deepseek-r1"),
    _Family(label="Qwen2.5", types="qwen2 qwen2_moe", name=r"qwen-?(1\.5|2)", tool="qwen25"),
    _Family(label="Qwen2.5", types="qwen2", tool="qwen25", reasoning=AUTO),
    _Family(label="Qwen-VL", types="qwen2_vl qwen2_5_vl"),
    _Family(label="Magistral", types=_MISTRAL, name="magistral|reasoning", tool="mistral", reasoning="mistral"),
    _Family(label="Mixtral 8x7B", types="mixtral", name="8x7b"),
    _Family(
        label="Mistral", types=_MISTRAL, name=r"(mis|devs|codes|pix|mix)tral-(7b|8x22b|nemo|small-2|small-3|small|22b)",
        tool="mistral",
    ),
    _Family(label="Mistral", types=_MISTRAL, name="stral|mixtral", tool="mistral", reasoning=AUTO),
    _Family(label="Gemma 4", types="gemma4", tool="gemma4", reasoning="gemma4"),
    _Family(label="Gemma", types=_GEMMA, name=r"gemma-([1-3]-|[27]b)"),
    _Family(label="gpt-oss", types="gpt_oss", tool="gpt-oss", reasoning="gpt-oss"),
    _Family(label="GLM-4.7", types="glm4_moe", name=r"4\.7", tool="glm47", reasoning="glm45"),
    _Family(label="GLM-4.5", types="glm4_moe", name=r"4\.[56]", tool="glm45", reasoning="glm45"),
    _Family(label="GLM-5", types="glm_moe_dsa", tool="glm47", reasoning="glm45"),
    _Family(label="Kimi K2 Thinking", types="kimi_k2", name="thinking", tool="kimi_k2", reasoning="kimi_k2"),
    _Family(label="Kimi K2.5", types="kimi_k25", tool="kimi_k2", reasoning="kimi_k2"),
    _Family(label="Kimi K2", types="kimi_k2", tool="kimi_k2"),
    _Family(label="Phi-4 reasoning", types="phi3", name=r"phi-?4.*reasoning", reasoning="deepseek-r1"),
    _Family(label="Phi", types="phi phi3 phimoe", name="phi-?[2-4]"),
    _Family(label="SmolLM", types="llama", name=r"smollm2?-"),
    _Family(label="Granite 4", types="granitemoehybrid", tool="hermes", reasoning=AUTO),
    _Family(
        label="Command", types="cohere2 cohere2_moe cohere2_vision", tool="cohere_command4",
        reasoning="cohere_command4",
    ),
    _Family(label="Trinity", types="afmoe", tool="trinity", reasoning=AUTO),
    _Family(label="Nanbeige", types="nanbeige", tool="nanbeige", reasoning="nanbeige"),
    _Family(label="dots", types="dots3_note", tool="dots", reasoning="dots"),
    _Family(label="GigaChat 3", name=r"gigachat-?3(?!\.5)", tool="gigachat3", reasoning=AUTO),
    _Family(label="Spark 2.5", types="spark2_5", tool="spark25", reasoning=AUTO),
    _Family(label="Inkling", types="inkling", tool="inkling", reasoning="inkling"),
)  # fmt: skip
"""The first that holds counts."""
