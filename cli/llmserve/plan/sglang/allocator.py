"""How much memory a GPU gives up for a list of tensors: PyTorch takes it in larger pieces than it hands out.

Sources: the constants of ``c10/cuda/CUDACachingAllocator.cpp``. What is left of a piece serves later tensors.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

MiB = 1 << 20
_GRAIN = 512
_SMALL = 1 * MiB  # tensors up to here share pieces of 2 MiB
_SMALL_PIECE = 2 * MiB
_MIDDLE = 10 * MiB  # tensors below here share pieces of 20 MiB
_MIDDLE_PIECE = 20 * MiB


def reserved(sizes: Iterable[int]) -> int:
    """Bytes of GPU memory taken for tensors of ``sizes`` bytes, in the order in which they are made."""
    small = 0
    pieces = 0
    free: list[int] = []
    for size in sizes:
        rounded = -(-size // _GRAIN) * _GRAIN
        if rounded <= _SMALL:
            small += rounded
            continue
        position = bisect_left(free, rounded)
        if position < len(free):
            piece = free.pop(position)
        else:
            piece = _MIDDLE_PIECE if rounded < _MIDDLE else -(-rounded // _SMALL_PIECE) * _SMALL_PIECE
            pieces += piece
        if piece - rounded > _SMALL:
            insort(free, piece - rounded)
    return pieces + -(-small // _SMALL_PIECE) * _SMALL_PIECE
