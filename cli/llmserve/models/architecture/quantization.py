"""How the weights of a checkpoint are quantised, from the ``quantization_config`` of its ``config.json``.

Sources: the configuration classes of SGLang (``srt/layers/quantization``) and ``ModelConfig._parse_quant_hf_config``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmserve.models.headers.blob import broken

_GROUPS = {"modelopt_fp4": 16, "mxfp4": 32, "mxfp8": 32}  # fixed by the number format


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """``method`` is SGLang's name for it (an unknown method keeps its own); None for plain weights."""

    method: str | None = None
    weight_block: int | None = None
    group_size: int | None = None
    kv_cache_dtype: str | None = None


def quantization(values: Mapping[str, Any], where: str = "config.json") -> Quantization:
    """Read what a configuration says, in any of the spellings in use; ``hf_quant_config.json`` has one of them.

    Raises:
        LlmserveError: ``broken_checkpoint``: what it says cannot be.
    """
    config = values.get("quantization_config") or values.get("compression_config") or values.get("quantization")
    if config is None or config == {}:
        return Quantization()
    if not isinstance(config, dict) or (wrong := _senseless(config)):
        what = f"{wrong!r} of its quantisation" if isinstance(config, dict) else "'quantization_config'"
        raise broken(where, f"gives {what} a value that makes no sense")
    nested = config.get("quantization")
    config = config | nested if isinstance(nested, dict) else config
    method = _method(config)
    side, group = _block(config)
    return Quantization(
        method=method,
        weight_block=side,
        group_size=group or _group(config) or _GROUPS.get(method),
        kv_cache_dtype=_cache_dtype(config),
    )


def _senseless(config: Mapping[str, Any]) -> str | None:
    """The name of a value that cannot be; None where all can."""
    method, side = config.get("quant_method"), config.get("weight_block_size")
    if method is not None and not (isinstance(method, str) and method):
        return "quant_method"
    for name in ("bits", "w_bit", "group_size", "q_group_size"):
        if (number := config.get(name)) is not None and (type(number) is not int or number == 0 or number < -1):
            return name
    sides = side if isinstance(side, (list, tuple)) else []
    return "weight_block_size" if side is not None and (len(sides) != 2 or not all(map(_positive, sides))) else None


def _method(config: Mapping[str, Any]) -> str:
    method, algorithm = config.get("quant_method"), str(config.get("quant_algo") or "").upper()
    if method and method != "modelopt":
        return str(method)
    if algorithm == "MIXED_PRECISION":
        return _mixed(config)
    if algorithm in ("FP8", "MXFP8"):
        return {"FP8": "modelopt_fp8", "MXFP8": "mxfp8"}[algorithm]
    if "FP4" in algorithm:
        return "modelopt_fp4"
    return str(config.get("quant_algo") or method or "unknown")


def _mixed(config: Mapping[str, Any]) -> str:
    layers = config.get("quantized_layers")
    kinds = [str(layer.get("quant_algo", "")) for layer in _tables(layers)]
    return "w4afp8" if kinds and not any("NVFP4" in kind.upper() for kind in kinds) else "modelopt_mixed"


def _block(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Side of square scale blocks, or the length of flat ones."""
    shapes = [config.get("weight_block_size"), *(scheme.get("block_structure") for scheme in _weights(config))]
    for shape in shapes:
        if isinstance(shape, (list, tuple)) and shape and all(_positive(side) for side in shape):
            return (None, max(shape)) if min(shape) == 1 else (max(shape), None)
    return None, None


def _group(config: Mapping[str, Any]) -> int | None:
    found = [config.get("group_size"), config.get("q_group_size")]
    found += [scheme.get("group_size") for scheme in _weights(config)]
    return next((size for size in found if _positive(size)), None)


def _cache_dtype(config: Mapping[str, Any]) -> str | None:
    algorithm = config.get("kv_cache_quant_algo")
    if isinstance(algorithm, str) and algorithm.lower() not in ("", "none", "auto"):
        return {"nvfp4": "fp4"}.get(algorithm.lower(), algorithm.lower())
    scheme = config.get("kv_cache_scheme")
    if not isinstance(scheme, dict) or not _positive(scheme.get("num_bits")):
        return None
    return f"{'int' if scheme.get('type') == 'int' else 'fp'}{scheme['num_bits']}"


def _weights(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schemes of weights: compressed-tensors and ModelOpt list them by group, Quark has one for all."""
    for group in _tables(config.get("config_groups")):
        yield from _tables({"": group.get("weights")})
    overall = config.get("global_quant_config")
    yield from _tables({"": overall.get("weight")} if isinstance(overall, dict) else None)


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value.values() if isinstance(item, dict)] if isinstance(value, dict) else []


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0
