"""Families of models: whose layout is known for certain, and what a model is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmserve.models.architecture.language import normal
from llmserve.models.model import Task


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FAMILIAR = _names(
    """
    llama llama4 deci nemotronnas mllama mistral mistral3 mistral4 mistrallarge3 ministral ministral3 mixtral pixtral
    qwen qwen2 qwen2moe qwen2vl qwen25vl qwen3 qwen3moe qwen3vl qwen3vlmoe qwen3next qwen35 qwen35moe qwen3omnimoe
    gemma gemma2 gemma3 gemma3n gemma4 gemma4unified gemmaembedding diffusiongemma
    deepseek deepseekv2 deepseekv3 deepseekv32 deepseekv4 deepseekvl2 deepseek2 deepseekvlv2 dots1
    kimik2 kimik25 kimivl kimilinear kimik3 kimik3linear
    chatglm glm glm4 glm4moe glm4moelite glmmoedsa glm4v glm4vmoe glmdsa
    gptoss gpt2 gptbigcode gptj gptneox phi phi2 phi3 phi3small phimoe phi4mm phi4multimodal
    granite granitemoe granitemoeshared granitemoehybrid granitehybrid graniteswa granitemoeswa
    falcon falconh1 falconmamba mamba mamba2 jamba bamba nemotron nemotronh nemotronhmoe nemotronhpuzzle
    lfm2 lfm2moe lfm2vl minicpm minicpm3 minicpmsala minicpmv minicpmo minimaxm2 minimaxtext01 minimax
    bailingmoe bailingmoe2 bailingmoev2 bailingmoev25 bailingmoev3 bailinghybrid
    exaone exaone4 exaonemoe olmo olmo2 olmo3 olmoe cohere cohere2 cohere2moe commandr dbrx mpt opt bloom
    stablelm starcoder2 jetnemotron
    internlm internlm2 internlm3 internvl internvlchat interns1 baichuan xverse orion persimmon solar arcee apertus
    smollm3 seedoss ernie45 ernie45moe ernie45vlmoe hunyuandensev1 hunyuanmoev1 hunyuanv1dense hunyuanv1moe
    hunyuandense hunyuanmoe mimo mimov2 mimov2flash mimo2 step3p5 step3p7 step35 laguna mellum museglimmer
    afmoe cwm longcatflash
    grok1 idefics3 smolvlm paligemma llava llavanext llavaonevision llavaqwen llavallama llavamistral
    bert roberta xlmroberta camembert nomicbert modernbert mpnet distilbert electra deberta debertav2 gte new eurobert
    contriever jinabertv2 jinabertv3 neobert nomicbertmoe
    """
)
_ENCODERS = _names(
    """
    bert roberta xlmroberta camembert nomicbert modernbert mpnet distilbert electra deberta debertav2 albert gte new
    eurobert contriever jinabertv2 jinabertv3 neobert nomicbertmoe ernie xlm esm
    """
)
_TIED = _names(
    """
    gemma gemma2 gemma3 gemma3n gemma4 gemma4unified diffusiongemma embeddinggemma2 cohere cohere2 cohere2moe falcon
    falconmamba gpt2 gptbigcode gptneo bloom mpt opt mamba lfm2 lfm2moe smollm3 starcoder2 minicpm3 graniteswa
    recurrentgemma ernie45 ernie45moe zamba zamba2 bert roberta xlmroberta modernbert
    """
)
"""Classes of transformers that share the embedding with the head unless told otherwise."""


def familiar(*names: str) -> bool:
    return any(normal(name) in _FAMILIAR for name in names)


def encoder(*names: str) -> bool:
    """Reads a text at once and keeps nothing between tokens."""
    return any(normal(name) in _ENCODERS for name in names)


def tied(model_type: str) -> bool:
    return normal(model_type) in _TIED


def task(config: Mapping[str, Any], name: str) -> Task:
    """What a configuration alone can say; embedding models that are called ...ForCausalLM look like any other."""
    if re.search(r"ForSequenceClassification|Reward(Model)?$|ForTokenClassification", name):
        return "reward"
    bare = name.endswith("Model") and not name.endswith(("ChatModel", "LMHeadModel"))
    both_ways = config.get("use_bidirectional_attention") is True or config.get("is_causal") is False
    masked = name.endswith("ForMaskedLM") or "Embedding" in name
    return "embed" if bare or both_ways or masked or name == "Contriever" else "generate"
