"""What vLLM's "model loading took" counts, as far as it differs from SGLang's figure on the same checkpoint."""

from __future__ import annotations

import re
from typing import Any

from llmserve.models.layers import LatentLayers
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import weights
from tests.bench.startups import Case


def size_bytes(case: Case, model: Model, sizes: Arrangement) -> int:
    """The tensors on the fullest GPU, the layers of a draft in the checkpoint included where they are used."""
    method = str((case.flags.get("speculative_config") or {}).get("method", ""))
    found = weights.tensor_bytes(model, sizes, draft=method == "mtp", arch=case.card.arch)
    return found + _whole_encoder(model, sizes) + _products(case, model, sizes)


def _whole_encoder(model: Model, sizes: Arrangement) -> int:
    """Attention of an encoder whose heads cannot be dealt out is whole on every GPU; SGLang fills heads up instead."""
    vision, ranks = model.vision, sizes.tensor_parallel
    if vision is None or not vision.heads or vision.heads % ranks == 0:
        return 0
    part = -(-vision.heads // ranks) / vision.heads
    return int(4 * vision.hidden_size**2 * vision.layers * 2 * (1 - part))


def _products(case: Case, model: Model, sizes: Arrangement) -> int:
    """vLLM 0.7 multiplies the up projections of latent attention with their neighbours and keeps the products, in 8 bit
    where they were (``v1/attention/backends/mla``); SGLang copies the projection for keys and values instead."""
    said = re.match(r"vLLM 0\.7", str(case.sglang_version))
    groups = [group for group in model.cache if isinstance(group, LatentLayers)]
    if not said or not groups or case.config is None:
        return 0
    group, fields, heads = groups[0], case.config, model.heads // sizes.attention_tensor_parallel
    inputs = _field(fields, "q_lora_rank") or model.hidden_size
    products = heads * group.latent_dim * (inputs + model.hidden_size) * (1 if model.quantization else 2)
    rotated = inputs * heads * group.rope_dim * 2
    wide = _field(fields, "qk_nope_head_dim") + _field(fields, "v_head_dim")
    copied = heads * wide * group.latent_dim * 2
    return group.layers * (products + rotated - copied)


def _field(config: dict[str, Any], name: str) -> int:
    return int(config.get(name) or 0)
