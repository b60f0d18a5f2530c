"""DeepSeek V4: what one token costs when layers keep every 4th or 128th token beyond a window.

Source: SGLang 0.5.23, ``pool_configurator.DSV4PoolConfigurator``. Builds differ in their layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmserve.models.layers import CompressedLayers

_PAGE_UNIT = 576  # bytes: pages of the FlashMLA layout are padded to a multiple
_STATE = 4  # bytes of a number in a compression state (float32)


@dataclass(frozen=True)
class Cost:
    """Bytes per token of the main pool, and bytes that do not grow with it."""

    per_token: float
    fixed: float


def of_stages(group: CompressedLayers, stages: int) -> list[CompressedLayers]:
    """The layers of each pipeline stage: dealt out evenly, and the last stages get one more."""
    each, more = divmod(group.layers, stages)
    ends = [each * (i + 1) + max(0, i + 1 - (stages - more)) for i in range(stages)]
    return [
        replace(group, ratios=group.ratios[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]  # fmt: skip


def cost(group: CompressedLayers, *, page_size: int, ratio: float, drafts: int, requests: int | None) -> Cost:
    """``ratio`` is window tokens per token. The layout of the cache is FlashMLA's whatever its type is said to be."""
    layers, fours = group.layers, group.ratios.count(4)
    hundreds = group.ratios.count(128)
    slot, index = _slot(group), _index(group)
    ring4, ring128 = (16, 256) if drafts else (8, 128)
    window = _padded(slot, page_size) * layers + _states(group) * ring4 / page_size * fours
    full = fours * (_padded(slot, page_size // 4) + index) / 4 + hundreds * _padded(slot, page_size // 128) / 128
    per_token = full + ratio * window
    if drafts:
        per_token *= (layers + 1) / layers
    slots = (requests or 256) + 1
    rows = -(-(slots * ring128 + ring128 + 1) // 128) * 128
    return Cost(per_token, rows * 2 * group.head_dim * _STATE * hundreds)


def early_cost(group: CompressedLayers, *, ratio: float, drafts: int, last: bool) -> Cost:
    """As builds of mid-2026 price it: all states per token of a page of the window, no padding; with drafts rings of
    twice the size, and one layer more. The layer for drafts, which configurations list at the end, keeps a window
    in the ``last`` pipeline stage whether it is used or not.

    Reproduces the 15,955.85 bytes per token that such a build logs for DeepSeek-V4-Flash.
    """
    layers, fours, hundreds = group.layers + last, group.ratios.count(4), group.ratios.count(128)
    slot, index = _slot(group), _index(group)
    ring4, ring128 = (16, 256) if drafts else (8, 128)
    window = slot * layers + _states(group) * ring4 / group.window * fours
    window += 2 * group.head_dim * _STATE * ring128 / group.window * hundreds
    full = fours * (slot + index) / 4 + hundreds * slot / 128
    return Cost((full + ratio * window) * ((layers + 1) / layers if drafts else 1), 0)


def _slot(group: CompressedLayers) -> int:
    return group.head_dim - group.rope_dim + group.rope_dim * 2 + 8


def _index(group: CompressedLayers) -> int:
    return group.index_dim + group.index_dim // 128 * 4


def _states(group: CompressedLayers) -> int:
    return 4 * (group.head_dim + group.index_dim) * _STATE


def _padded(slot: int, tokens: int) -> float:
    """Bytes of a token in a page of ``tokens``."""
    tokens = max(1, tokens)
    return -(-slot * tokens // _PAGE_UNIT) * _PAGE_UNIT / tokens
