"""How the experts of a checkpoint in MXFP4 (gpt-oss) grow when they are laid out for the kernels of a GPU.

Source: SGLang 0.5.23, ``srt/layers/quantization/mxfp4.py`` and ``arg_groups/model_overrides/gpt_oss.py``; for Hopper
the layouts of the triton_kernels package. A block of 32 weights is 16 bytes of values and one of scale.
"""

from __future__ import annotations

from llmserve.plan.arrangement import Arrangement

_BLOCK = 32


def growth(hidden: int, intermediate: int, arrangement: Arrangement, arch: str) -> float:
    """Bytes of the experts on all GPUs together per byte in the checkpoint; ``arch`` unknown counts as Hopper."""
    shards = max(1, arrangement.tensor_parallel // max(1, arrangement.expert_parallel))
    blocks = -(-intermediate // _BLOCK)
    own = -(-blocks // shards) * _BLOCK  # whole blocks per GPU
    stored = 3 * hidden * intermediate * (16 + 1)
    if arch.startswith(("sm_10", "sm_12")):  # flashinfer: hidden to 256, intermediate to 128
        inner, outer = _up(own, 128), _up(hidden, 256)
        return shards * 3 * inner * outer * (16 + 1) / stored
    inner = _up(own, 64)
    values = 3 * inner * hidden * 16
    scales = 3 * inner * hidden
    if not arch.startswith("sm_8"):  # the checkpoint's scales stay beside the rearranged ones, padded to 256 rows
        scales += _up(2 * inner, 256) * hidden + _up(hidden, 256) * inner
    return shards * (values + scales) / stored


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
