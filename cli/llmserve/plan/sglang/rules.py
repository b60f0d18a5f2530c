"""How SGLang 0.5.23 treats model families: what its sources decide by architecture, not by shape."""

from __future__ import annotations

import re

from llmserve.models.layers import AttentionLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.model import Model

_WINDOW_POOLS = (
    "Llama4For", "DeepseekV4", "GptOss", "GraniteSWA", "GraniteMoeSWA", "IQuestQ1", "MiMoV2", "Step3p5", "Step3p7",
    "Gemma4", "DiffusionGemma", "Laguna", "Mellum", "MuseGlimmer", "Inkling", "UnlimitedOCR", "Beam",
)  # fmt: skip
"""Architectures with a pool of their own for layers that see a window (``model_config.is_hybrid_swa_model``). Every
other one, Gemma 2 and 3 included, is charged as if all layers saw everything."""

_SMALL_WINDOW_POOLS = {"Inkling": 0.1, "DeepseekV4": 0.1}
WINDOW_RATIO, STATE_RATIO = 0.8, 0.9
"""Defaults of ``--swa-full-tokens-ratio`` and ``--mamba-full-memory-ratio``."""

_EXTRA_BUFFER = (
    "Qwen3Next", "Qwen3_5", "Qwen4Exp", "NemotronH", "FalconH1", "GraniteMoeHybrid", "KimiLinear", "BailingMoeV2_5",
    "BailingMoeV3", "Jet", "InternS2",
)  # fmt: skip

QUANTIZATIONS = frozenset(
    (
        "auto-round", "awq", "awq_marlin", "bitsandbytes", "compressed-tensors", "fbgemm_fp8", "fp8", "gguf", "gptq",
        "gptq_marlin", "humming", "modelopt", "modelopt_fp4", "modelopt_fp8", "modelopt_mixed", "modelslim",
        "moe_wna16", "mxfp4", "mxfp8", "petit_nvfp4", "quark", "quark_int4fp8_moe", "quark_mxfp4",
        "w4afp8", "w8a8_fp8", "w8a8_int8",
    )
)  # fmt: skip
"""What a checkpoint may be quantised by: SGLang's own ``--quantization``, less what it does while loading."""

CAPABILITY = {
    "fp8": 80, "fbgemm_fp8": 80, "modelopt_fp8": 89, "modelopt_fp4": 80, "modelopt_mixed": 80, "mxfp4": 80, "mxfp8": 89,
    "compressed-tensors": 75, "awq": 75, "awq_marlin": 80, "gptq_marlin": 80, "w8a8_int8": 75, "w8a8_fp8": 89,
    "w4afp8": 90, "petit_nvfp4": 80,
}  # fmt: skip
"""The oldest NVIDIA GPU (compute capability x 10) that a quantisation runs on (``get_min_capability``)."""

CPU_SLOTS = 3
"""States for each running request on a CPU, whose platform has no snapshots of states (strategy ``no_buffer``)."""

_NOT_ON_CPU = {
    "GptOss": "attention with sinks", "Gemma4": "its attention", "Llama4": "its expert router",
    "DeepseekV4": "its cache", "MiniCPM3": "its attention",
}  # fmt: skip

VLM_CACHE = 100 * 1024**2
"""Reserved for image features when the model takes images (``SGLANG_VLM_CACHE_SIZE_MB``)."""


def states_per_token(version: str) -> bool:
    """Whether DeepSeek V4 pays for all its compression states per token, as releases up to 0.5.14 price them."""
    return before(version, (0, 5, 15))


def charges_drafts(version: str) -> bool:
    """Whether a draft's own cache is charged to a model with a window pool, as releases from 0.5.19 on do."""
    return not before(version, (0, 5, 19))


def derating(model: Model, *, vendor: str, backend: str, context: int, version: str) -> float:
    """By what SGLang multiplies the static fraction, asked for or its own: on AMD's attention kernels (``aiter``) with
    contexts beyond 8,192 tokens (``attention_hook.py`` of 0.5.23). Latent attention has others by default."""
    kernels = backend or ("aiter" if vendor == "amd" and not latent(model) else "")
    return 0.85 if kernels == "aiter" and context > 8192 and not before(version, (0, 5, 19)) else 1.0


def image_cache(version: str) -> int:
    """Bytes reserved for image features when the model takes images: none before 0.5.17 or 0.5.18."""
    return 0 if before(version, (0, 5, 17)) else VLM_CACHE


def before(version: str, release: tuple[int, ...]) -> bool:
    """Whether ``version`` is older than ``release``; what is not known counts as the newest."""
    return bool(version) and _parts(version) < release


def _parts(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else (99,)


def window_pool(model: Model) -> bool:
    """Whether layers with a window get a smaller pool of their own."""
    has_window = any(isinstance(group, (AttentionLayers, LatentLayers)) and group.window for group in model.cache)
    return has_window and model.architecture.startswith(_WINDOW_POOLS)


def window_ratio(model: Model) -> float:
    """Tokens of the window pool for each token of the other one."""
    return next((r for name, r in _SMALL_WINDOW_POOLS.items() if model.architecture.startswith(name)), WINDOW_RATIO)


def radix_cache(model: Model) -> bool:
    """Whether SGLang keeps prefixes for this architecture (``model_overrides/minicpm.py``)."""
    return not (model.architecture.startswith("MiniCPM") and hybrid(model))


def slots_per_request(model: Model, *, radix_cache: bool = True) -> int:
    """Linear-attention states that one running request may hold (``kv_cache_configurator._calculate_mamba_ratio``).

    One without a prefix cache; three with it, and two more where the architecture tracks states ahead of the overlapped
    scheduler (strategy ``extra_buffer``).
    """
    if not radix_cache:
        return 1
    return 5 if model.architecture.startswith(_EXTRA_BUFFER) else 3


def latent(model: Model) -> bool:
    """Whether SGLang takes its MLA path, which keeps the whole cache on every GPU."""
    return any(isinstance(group, (LatentLayers, CompressedLayers)) for group in model.cache)


def sparse(model: Model) -> bool:
    """DeepSeek sparse attention: latent attention with an index of keys."""
    return any(isinstance(group, LatentLayers) and group.index_layers for group in model.cache)


def hybrid(model: Model) -> bool:
    return any(isinstance(group, StateLayers) for group in model.cache)


def lacks_on_cpu(model: Model) -> str | None:
    """What SGLang 0.5.23 can compute on GPUs alone and this model needs; found by starting each family on a CPU."""
    if hybrid(model):
        return "linear attention"
    if sparse(model):
        return "sparse attention"
    return next((what for name, what in _NOT_ON_CPU.items() if model.architecture.startswith(name)), None)


def page_size(model: Model, arch: str) -> int:
    """Tokens per page that SGLang's default attention backend forces on ``arch`` (``overrides.py``)."""
    if any(isinstance(group, CompressedLayers) for group in model.cache):
        return 256
    if sparse(model):
        return 64
    return 64 if arch.startswith("sm_10") else 1


def default_kv_dtype(model: Model, arch: str) -> str:
    """What ``--kv-cache-dtype auto`` becomes."""
    if any(isinstance(group, CompressedLayers) for group in model.cache):
        return "fp8_e4m3"
    if sparse(model) and arch.startswith("sm_10"):
        return "fp8_e4m3"
    if model.kv_cache_dtype:
        return "fp8_e4m3" if "fp8" in model.kv_cache_dtype.lower() else model.kv_cache_dtype
    return "bfloat16" if model.dtype not in ("float16", "half") else "float16"


def good_window_ratio(model: Model, context: int) -> float | None:
    """A window pool that holds the windows of as many requests as the main pool holds contexts, twice over.

    None where the model has no such pool. Never above SGLang's default, which suits short contexts.
    """
    windows = [g.window for g in model.cache if isinstance(g, (AttentionLayers, LatentLayers)) and g.window]
    if not windows or not window_pool(model):
        return None
    typical = max(1, min(context, 32_768))
    ratio = round(2 * (max(windows) + 512) / typical + 0.049, 1)
    return min(window_ratio(model), max(0.2, ratio))
