"""How a quantised checkpoint stores one matrix: bytes by stored type.

Sources: the weights that SGLang 0.5.23 creates (``srt/layers/quantization``): ``fp8.py``, ``gptq``, ``awq``,
``modelopt_quant.py``, ``mxfp4.py``, ``compressed_tensors/schemes``, ``bitsandbytes.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

Stored = dict[str, int]
"""Bytes by safetensors type."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """``bits`` per weight in words of ``dtype``, and ``scale_bytes`` per ``group`` inputs of each output.

    ``group`` 0 is one scale per output. ``block`` is the side of square blocks with one scale each. ``zero_bits`` is
    the size of a zero point per group, ``index_bytes`` per input are stored for reordered groups (GPTQ).
    """

    bits: int
    dtype: str
    group: int = 0
    block: int = 0
    scale_bytes: int = 4
    scale_dtype: str = "F32"
    zero_bits: int = 0
    index_bytes: int = 0

    def stored(self, outputs: int, inputs: int) -> Stored:
        weights = _up(outputs * inputs * self.bits, 8)
        groups = _up(inputs, self.group) if self.group else 1
        scales = _up(outputs, self.block) * _up(inputs, self.block) if self.block else outputs * groups
        found = {self.dtype: weights + _up(outputs * groups * self.zero_bits, 8) + inputs * self.index_bytes}
        found[self.scale_dtype] = found.get(self.scale_dtype, 0) + scales * self.scale_bytes
        return found


FP8_CHANNEL = Scheme(bits=8, dtype="F8_E4M3", scale_bytes=4)
INT8_CHANNEL = Scheme(bits=8, dtype="I8", scale_bytes=4)
NVFP4 = Scheme(bits=4, dtype="U8", group=16, scale_bytes=1, scale_dtype="F8_E4M3")
MXFP4 = Scheme(bits=4, dtype="U8", group=32, scale_bytes=1, scale_dtype="U8")
FP4_EXPERTS = Scheme(bits=4, dtype="I8", group=32, scale_bytes=1, scale_dtype="F8_E8M0")
"""DeepSeek V4: experts in MXFP4 inside an FP8 checkpoint."""

NF4 = Scheme(bits=4, dtype="U8", group=64, scale_bytes=1, scale_dtype="U8")
"""bitsandbytes with nested scales, as published checkpoints have them and SGLang makes them."""


def fp8_block(side: int) -> Scheme:
    return Scheme(bits=8, dtype="F8_E4M3", block=side)


def packed(bits: int, group: int, *, zeros: bool = True, index: bool = False) -> Scheme:
    """GPTQ, AWQ and the packed integers of compressed-tensors: 32-bit words, 16-bit scales."""
    return Scheme(
        bits=bits, dtype="I32", group=group, scale_bytes=2, scale_dtype="F16", zero_bits=bits if zeros else 0,
        index_bytes=4 if index else 0,
    )  # fmt: skip


def compressed(weights: Mapping[str, Any]) -> Scheme | None:
    """One group of ``config_groups``: the ``weights`` of compressed-tensors, ModelOpt and Quark."""
    bits, kind = weights.get("num_bits"), str(weights.get("type", "float"))
    group, block = weights.get("group_size"), weights.get("block_structure")
    if kind == "float" and bits == 4:
        return MXFP4 if group == 32 else NVFP4
    if bits == 8 and isinstance(block, (list, tuple)) and block and type(block[0]) is int and block[0] > 0:
        return fp8_block(block[0])
    if bits == 8 and not (type(group) is int and group > 0):
        return FP8_CHANNEL if kind == "float" else INT8_CHANNEL
    if type(bits) is int and 1 < bits <= 8:
        zeros = weights.get("symmetric") is False
        return packed(bits, group if type(group) is int and group > 0 else 0, zeros=zeros)
    return None


def matcher(patterns: Iterable[Any]) -> Callable[[str], bool]:
    """Whether a module's name is meant by a list such as ``ignore`` or ``modules_to_not_convert``.

    Entries are names or parts of names between dots, names with ``*``, or regular expressions after ``re:``. What comes
    before ``layers.`` does not count: engines and checkpoints differ there.
    """
    names: set[str] = set()
    globs: list[str] = []
    expressions: list[re.Pattern[str]] = []
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            continue
        if pattern.startswith("re:"):
            expressions += _expression(pattern[3:])
        elif "*" in pattern:
            globs.append(f"*{_tail(pattern).lstrip('*')}")
        else:
            names.add(_tail(pattern).removesuffix(".weight"))
    parts = [f".{name}." for name in names if not name.startswith("layers.")]

    def matches(name: str) -> bool:
        short = _tail(name)
        parents = {short[: match.start()] for match in re.finditer(r"\.|$", short)}
        if parents & names or any(part in f".{short}." for part in parts):
            return True
        return any(fnmatchcase(part, glob) for glob in globs for part in parents) or any(
            pattern.match(name) for pattern in expressions
        )

    return matches


def _tail(name: str) -> str:
    position = name.find("layers.")
    return name[position:] if position >= 0 else name.removeprefix("model.")


def _expression(text: str) -> list[re.Pattern[str]]:
    """Repeated groups are not read: they can take for ever, and anyone may have written them."""
    if len(text) > 500 or re.search(r"\)[*+{]", text):
        return []
    try:
        return [re.compile(text)]
    except re.error:
        return []


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
