"""Matrices of the layers that look at one token at a time: dense networks, experts and their routers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmserve.models.architecture.shape import Architecture
from llmserve.models.layers import Experts
from llmserve.models.parameters.modules import Config, Module
from llmserve.models.tensors import Role

_PREFIX = "model.layers.{}.mlp."
_UNGATED = (
    "gpt2", "gpt_neox", "gpt_neo", "gptj", "gpt_bigcode", "opt", "phi", "starcoder2", "falcon", "bloom", "mpt",
    "codegen", "nemotron", "nemotron_h*", "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "whisper",
    "persimmon", "arcee", "apertus", "camembert", "electra",
)  # fmt: skip
"""Families with one matrix up and one down; all others have a gate beside the one up."""

_BIASED = (
    "gpt2",
    "gpt_neox",
    "gpt_bigcode",
    "opt",
    "phi",
    "starcoder2",
    "bloom",
    "bert",
    "roberta",
    "xlm-roberta",
    "whisper",
)

_CORRECTED = ("deepseek_v3*", "deepseek_v4*", "kimi*", "glm4_moe*", "glm_moe*", "minimax_m2*")
"""Families whose router has a bias that balances the load of the experts."""


def feed_forward(config: Config, shape: Architecture) -> Iterator[Module]:
    """All matrices of the main model's feed-forward networks."""
    dense, sparse = layer_counts(config, shape)
    yield from _dense(config, shape, dense)
    first = dense if config.number("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index") else 0
    if shape.experts is not None:
        yield from (replace(part, first=first) for part in experts(config, shape, shape.experts, sparse))


def layer_counts(config: Config, shape: Architecture) -> tuple[int, int]:
    """Layers with a dense network, and with experts. Gemma 4 has both side by side, Mamba layers may have none."""
    letters = config.values.get("hybrid_override_pattern")
    kinds = config.values.get("layers_block_type")
    if isinstance(letters, str):
        return letters.count("-"), letters.count("E")
    if isinstance(kinds, list) and config.is_like("nemotron_h*"):
        return kinds.count("mlp"), kinds.count("moe")
    if config.is_like("mamba", "mamba2", "falcon_mamba"):
        return 0, 0
    if shape.experts is None:
        return shape.layers, 0
    if config.is_like("gemma4*"):
        return shape.layers, shape.layers
    dense = min(shape.experts.dense_layers, shape.layers)
    return dense, shape.layers - dense


def _dense(config: Config, shape: Architecture, layers: int) -> Iterator[Module]:
    wide = config.number("intermediate_size_mlp") if shape.experts else 0  # Llama 4: dense layers are wider
    inner = wide or shape.intermediate_size or config.number("block_ff_dim", default=4 * shape.hidden_size)
    if config.is_like("lfm2*") and config.flag("block_auto_adjust_ff_dim"):
        inner = _rounded_two_thirds(inner, config.number("block_multiple_of", default=256))
    doubled = config.number("num_kv_shared_layers") if config.flag("use_double_wide_mlp") else 0  # Gemma 4 E2B
    yield from network(config, "mlp", _PREFIX, shape.hidden_size, inner, layers=layers - doubled)
    yield from network(config, "mlp", _PREFIX, shape.hidden_size, 2 * inner, layers=doubled)


def experts(config: Config, shape: Architecture, mixture: Experts, layers: int) -> Iterator[Module]:
    """Routed and shared experts and the router of ``layers`` layers."""
    hidden = shape.hidden_size
    narrow = config.number("moe_latent_size")  # Nemotron 3 Super: experts work on a shorter vector
    prefix = _PREFIX + "experts.0."
    yield Module(role="router", name=_PREFIX + "gate", outputs=mixture.routed, inputs=hidden, layers=layers, plain=True)
    if config.values.get("topk_method") == "noaux_tc" or config.is_like(*_CORRECTED):
        yield Module(role="router", name=_PREFIX + "gate.bias", outputs=mixture.routed, layers=layers, dtype="F32")
    yield from network(
        config, "experts", prefix, narrow or hidden, mixture.intermediate_size, layers=layers, copies=mixture.routed
    )
    if config.is_like("gpt_oss"):
        biases = mixture.routed * (2 * mixture.intermediate_size + hidden)
        yield Module(role="experts", name=prefix + "bias", outputs=biases, layers=layers, plain=True)
        yield Module(role="router", name=_PREFIX + "router.bias", outputs=mixture.routed, layers=layers, plain=True)
    if narrow:
        yield Module(role="latent", name=_PREFIX + "fc1_latent_proj", outputs=2 * narrow, inputs=hidden, layers=layers)
    inner = _shared_size(config, shape, mixture)
    yield from network(config, "shared_experts", _PREFIX + "shared_experts.", hidden, inner, layers=layers)
    if inner and config.is_like("qwen2_moe", "qwen3_next", "qwen3_5_moe*"):
        yield Module(
            role="router", name=_PREFIX + "shared_expert_gate", outputs=1, inputs=hidden, layers=layers, plain=True
        )


def _shared_size(config: Config, shape: Architecture, mixture: Experts) -> int:
    """Width of all shared experts of a layer together."""
    whole = config.number("shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim")
    each = config.number("moe_shared_expert_intermediate_size", default=mixture.intermediate_size)
    count = config.number("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
    if config.is_like("llama4*"):
        return shape.intermediate_size
    return whole or each * (count or mixture.shared)


def network(
    config: Config, role: Role, prefix: str, hidden: int, inner: int, *, layers: int, copies: int = 1
) -> Iterator[Module]:  # fmt: skip
    """One network of ``inner`` units, with a gate unless the family has none."""
    if not (inner and layers):
        return
    ups = ("up_proj",) if config.is_like(*_UNGATED) else ("gate_proj", "up_proj")
    biased = config.flag("mlp_bias", role == "mlp" and config.is_like(*_BIASED))
    for name in ups:
        yield Module(
            role=role, name=prefix + name, outputs=inner, inputs=hidden, layers=layers, copies=copies,
            bias=inner if biased else 0,
        )  # fmt: skip
    yield Module(
        role=role, name=prefix + "down_proj", outputs=hidden, inputs=inner, layers=layers, copies=copies,
        bias=hidden if biased else 0,
    )  # fmt: skip


def _rounded_two_thirds(inner: int, multiple: int) -> int:
    """LFM2 states the width before it is adjusted: two thirds, rounded up."""
    return -(-(2 * inner // 3) // multiple) * multiple
