"""Which matrices of a quantised checkpoint are stored how, from its ``quantization_config``.

Configurations that say less than they should (cut copies, ``hf_quant_config.json`` left out) are read as the published
checkpoints of that kind are: embeddings, heads, norms, routers and vision stay 16 bit in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmserve.models.parameters import schemes
from llmserve.models.parameters.modules import Module
from llmserve.models.parameters.schemes import Scheme

Choose = Callable[[Module], Scheme | None]

_LEFT_ALONE = ("embedding", "head", "router", "vision", "norm", "other")
_SPARSE_ATTENTION = ("latent", "query", "key_value", "output", "indexer")
_KEPT = ("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers", "exclude", "modules_to_not_quantize",
         "llm_int8_skip_modules", "exclude_layers")  # fmt: skip
_HALF_BYTE = ("gptq", "awq", "auto-round", "autoround", "compressed-tensors", "bitsandbytes", "hqq")


def chosen(config: Mapping[str, Any], modules: tuple[Module, ...]) -> Callable[[Module], tuple[Scheme | None, int]]:
    """For each module: its scheme, and in how many of its layers it is left alone all the same."""
    quantization = _section(config)
    if quantization is None:
        return lambda _: (None, 0)
    choose = _choice(quantization, modules)
    if config.get("expert_dtype") == "fp4":
        choose = _with_experts(choose, schemes.FP4_EXPERTS)
    names = [name for key in _KEPT for name in _list(quantization.get(key))]
    kept = schemes.matcher(names)
    head = quantization.get("lm_head") is True

    def of(module: Module) -> tuple[Scheme | None, int]:
        quantised_head = head and module.role == "head"
        if module.plain or (module.role in _LEFT_ALONE and not quantised_head):
            return None, 0
        return choose(module), min(module.layers, _kept_layers(kept, module)) if names else 0

    return of


def _kept_layers(kept: Callable[[str], bool], module: Module) -> int:
    """Lists may name each layer, and they name only layers that have the module."""
    spellings = [module.name, *(module.name.replace(*pair) for pair in _SPELLINGS if pair[0] in module.name)]
    return sum(any(kept(name.format(layer)) for name in spellings) for layer in range(module.first, _MOST_LAYERS))


_MOST_LAYERS = 128
_SPELLINGS = (
    ("gate_proj", "gate_up_proj"), ("up_proj", "gate_up_proj"), ("q_proj", "qkv_proj"), ("k_proj", "qkv_proj"),
    ("v_proj", "qkv_proj"), ("in_proj_qkvz", "in_proj_qkv"), ("self_attn", "mixer"), (".mlp.", ".mixer."),
    ("mlp.experts.0", "mlp.experts"), ("shared_experts", "shared_expert"), ("mlp.experts", "block_sparse_moe.experts"),
)  # fmt: skip


def _section(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for place in (config, config.get("text_config")):
        for key in ("quantization_config", "compression_config", "quantization"):
            section = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(section, Mapping):
                nested = section.get("quantization")
                return dict(section) | dict(nested) if isinstance(nested, Mapping) else section
    return None


def _choice(quantization: Mapping[str, Any], modules: tuple[Module, ...]) -> Choose:
    """The scheme of a matrix that no list leaves alone."""
    groups = list(_groups(quantization))
    if groups:
        return lambda module: next((scheme for means, scheme in groups if means(module)), None)
    method = f"{quantization.get('quant_method') or ''} {quantization.get('quant_algo') or ''}".lower()
    form = str(quantization.get("format") or "").lower()
    text = f"{method} {form}"
    if "mxfp4" in text:
        return _only(schemes.MXFP4, "experts")
    if "fp4" in text or "mixed_precision" in text or "w4a4" in text:
        return _fp4(modules, fp8="mixed" in text, everywhere="compressed" in text)
    scheme = _single(quantization, text)
    if "compressed" in text and not form and any(module.role == "experts" for module in modules):
        return _only(scheme, "experts")  # Kimi K2.5 and its like
    return lambda _: scheme


def _single(quantization: Mapping[str, Any], text: str) -> Scheme | None:
    """One scheme for all matrices."""
    block = quantization.get("weight_block_size")
    if isinstance(block, (list, tuple)) and block and type(block[0]) is int and block[0] > 0:
        return schemes.fp8_block(block[0])
    if "bitsandbytes" in text:
        return schemes.INT8_CHANNEL if quantization.get("load_in_8bit") is True else schemes.NF4
    bits = next((b for key in ("bits", "w_bit", "wbits", "nbits") if type(b := quantization.get(key)) is int), None)
    size = next((g for key in ("group_size", "q_group_size") if type(g := quantization.get(key)) is int), 128)
    if "fp8" in text or "float" in text:
        return schemes.FP8_CHANNEL
    if "w4a8" in text or any(name in text for name in _HALF_BYTE) or (bits or 8) < 8:
        return schemes.packed(
            bits or 4, max(0, size if "compressed" not in text or bits else 32), zeros="compressed" not in text,
            index="gptq" in text,
        )  # fmt: skip
    return schemes.INT8_CHANNEL if "8" in text or bits == 8 else None


def _fp4(modules: tuple[Module, ...], *, fp8: bool, everywhere: bool) -> Choose:
    """NVFP4 where nothing is listed: ModelOpt leaves the attention of mixtures of experts, or makes it FP8 if it mixes;
    llm-compressor quantises it too, ``everywhere`` but in linear attention. Draft layers stay as they are."""
    sparse = any(module.role == "experts" for module in modules) and not everywhere

    def choose(module: Module) -> Scheme | None:
        if module.role == "draft":
            return None
        attention = module.role in _SPARSE_ATTENTION and (sparse or fp8)
        if attention or module.role == "linear":
            return schemes.FP8_CHANNEL if fp8 else None
        return schemes.NVFP4

    return choose


def _with_experts(choose: Choose, scheme: Scheme) -> Choose:
    return lambda module: scheme if module.role == "experts" else choose(module)


def _only(scheme: Scheme | None, role: str) -> Choose:
    return lambda module: scheme if module.role == role else None


def _groups(quantization: Mapping[str, Any]) -> Iterator[tuple[Callable[[Module], bool], Scheme | None]]:
    """``config_groups`` of compressed-tensors and ModelOpt; ModelOpt's ``quantized_layers`` are not read."""
    for group in _tables(quantization.get("config_groups")):
        weights = group.get("weights")
        targets = _list(group.get("targets")) or ["Linear"]
        if isinstance(weights, Mapping):
            yield _targets(targets), schemes.compressed(weights)


def _targets(targets: list[Any]) -> Callable[[Module], bool]:
    if any(target in ("Linear", "LinearBase", "FusedMoE", "Attention") for target in targets):
        return lambda _: True
    means = schemes.matcher(targets)
    return lambda module: _kept_layers(means, module) > 0


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value.values() if isinstance(item, Mapping)] if isinstance(value, Mapping) else []


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
