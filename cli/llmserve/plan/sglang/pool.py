"""SGLang's pools: how many tokens and states the memory that is left after the weights holds.

Sources, all of SGLang 0.5.23: ``model_executor/pool_configurator.py`` (cells and tokens) and
``mem_cache/kv_cache_configurator.py`` (what is left, states of linear attention, running requests).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llmserve.models.layers import AttentionLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import compressed
from llmserve.plan.sglang import rules as sglang_rules

ELEMENT_BYTES = {"fp8": 1.0, "mxfp8": 33 / 32, "nvfp4": 9 / 16, "fp4": 9 / 16}
"""By the start of the name; scales of the block formats included. Everything else takes two bytes."""


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What decides the size of the pools besides the model and the memory; names and defaults are SGLang's.

    ``max_running_requests`` None: derived from the pool. ``max_total_tokens`` caps it. ``draft_layers`` have the shape
    of the target's; ``draft_cell`` is a draft's own bytes per token (DFLASH). ``arch`` is that of the GPU (``sm_90``),
    ``version`` SGLang's (empty: the newest known).
    """

    arrangement: Arrangement = field(default_factory=Arrangement)
    kv_dtype: str = "bfloat16"
    page_size: int = 1
    window_ratio: float | None = None
    state_ratio: float = sglang_rules.STATE_RATIO
    state_slots: int | None = None
    state_dtype: str | None = None
    slots_per_request: int | None = None
    max_running_requests: int | None = None
    max_total_tokens: int | None = None
    radix_cache: bool = True
    context: int = 0
    draft_layers: int = 0
    draft_tokens: int = 0
    draft_cell: int = 0
    arch: str = ""
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Pools of one device. ``cell`` is bytes per token of the main pool, its part of the window pool included."""

    tokens: int
    cell: float
    kv_bytes: int
    window_tokens: int | None = None
    state_slots: int | None = None
    state_bytes: int = 0
    requests: int = 0


def size(model: Model, rest_bytes: int, settings: PoolSettings) -> Pool:
    """The pools within ``rest_bytes``: free memory after the weights, less the slack outside the static fraction.

    A pool without tokens means that SGLang would refuse to start.
    """
    slots, states = _states(model, rest_bytes, settings)
    left = max(0, rest_bytes - states)
    if any(isinstance(group, CompressedLayers) for group in model.cache):
        pool = _compressed(model, left, settings)
    else:
        pool = _paged(model, left, settings)
    pool = replace(pool, state_slots=slots, state_bytes=states if slots is not None else 0)
    return replace(pool, requests=_requests(model, pool, settings))


def element_bytes(kv_dtype: str) -> float:
    return next((size for name, size in ELEMENT_BYTES.items() if kv_dtype.startswith(name)), 2.0)


def cells(model: Model, settings: PoolSettings) -> tuple[float, float]:
    """Bytes per token on one device: of layers that see everything, and of those in the window pool."""
    split, full, window = sglang_rules.window_pool(model), 0.0, 0.0
    groups = model.cache or _encoder(model)
    layers = sum(group.layers for group in groups if not isinstance(group, StateLayers))
    stages = settings.arrangement.pipeline_parallel
    for group in groups:
        if isinstance(group, (AttentionLayers, LatentLayers)):
            size = _group_cell(group, settings)
            full, window = (full, window + size) if split and group.window else (full + size, window)
    if settings.draft_layers and layers:
        full += int((full + (0 if split else window)) * settings.draft_layers / layers)
    if stages > 1 and layers:  # the stage with the most layers decides
        share = -(-layers // stages) / layers
        full, window = full * share, window * share
    charged = settings.draft_cell if not split or sglang_rules.charges_drafts(settings.version) else 0
    return full + charged, window


def state_bytes(model: Model, settings: PoolSettings) -> int:
    """Bytes of one state over all linear-attention layers of one device (``configs/mamba_utils.py``)."""
    total = 0.0
    for group in model.cache:
        if isinstance(group, StateLayers):
            total += group.layers * _layer_state(group, settings)
    return int(total / settings.arrangement.pipeline_parallel)


def _encoder(model: Model) -> tuple[AttentionLayers, ...]:
    """Encoders keep nothing between tokens, and SGLang gives them a pool all the same."""
    width = {"key_dim": model.head_dim, "value_dim": model.head_dim}
    return (AttentionLayers(layers=model.layers, kv_heads=model.kv_heads, **width),) if model.kv_heads else ()


def _group_cell(group: AttentionLayers | LatentLayers, settings: PoolSettings) -> float:
    element, layers = element_bytes(settings.kv_dtype), group.layers
    if isinstance(group, AttentionLayers):
        heads = max(1, group.kv_heads // settings.arrangement.attention_tensor_parallel)
        return heads * (group.key_dim + group.value_dim) * layers * element
    width = (group.latent_dim + group.rope_dim) * element
    if group.index_layers and element == 1 and not settings.arch.startswith("sm_10"):
        width = group.latent_dim + group.latent_dim // 128 * 4 + group.rope_dim * 2  # FlashMLA's layout with scales
    index = (group.index_dim + group.index_dim // 128 * 4) * group.index_layers
    return width * layers + index


def _layer_state(group: StateLayers, settings: PoolSettings) -> float:
    ranks = settings.arrangement.attention_tensor_parallel
    groups = group.groups if group.groups % ranks == 0 else group.groups + ranks - group.groups % ranks
    convolution = (group.inner + 2 * groups * group.state_dim) / ranks * (group.kernel - 1)
    temporal = group.heads / ranks * group.head_dim * group.state_dim
    number = 4 if (settings.state_dtype or group.dtype) in ("float32", "float") else 2
    return convolution * 2 + temporal * number


def _states(model: Model, rest: int, settings: PoolSettings) -> tuple[int | None, int]:
    """Slots for linear-attention states and the bytes they take, those of speculative steps included."""
    each = state_bytes(model, settings)
    if not each:
        return None, 0
    slots, drafts = _slots(model, rest, each, settings), settings.draft_tokens
    taken = (slots + 1) * each
    if drafts and slots > 0:
        running = settings.max_running_requests or 48
        asked = max(1, running // settings.arrangement.attention_data_parallel)
        taken += each * (min(asked, slots // _per_request(model, settings)) + 1) * drafts
    return max(0, slots), taken


def _slots(model: Model, rest: int, each: int, settings: PoolSettings) -> int:
    groups = settings.arrangement.attention_data_parallel
    if settings.state_slots is not None:
        return settings.state_slots // groups
    if not _radix(model, settings) and settings.max_running_requests is not None:
        return max(1, settings.max_running_requests // groups)
    budget = rest * settings.state_ratio / (1 + settings.state_ratio)
    steps = settings.draft_tokens
    return int((budget - each * (1 + steps)) // (each * (1 + steps / _per_request(model, settings))))


def _per_request(model: Model, settings: PoolSettings) -> int:
    radix = _radix(model, settings)
    return settings.slots_per_request or sglang_rules.slots_per_request(model, radix_cache=radix)


def _radix(model: Model, settings: PoolSettings) -> bool:
    return settings.radix_cache and sglang_rules.radix_cache(model)


def _paged(model: Model, rest: int, settings: PoolSettings) -> Pool:
    full, window = cells(model, settings)
    ratio = settings.window_ratio if settings.window_ratio is not None else sglang_rules.window_ratio(model)
    if not full and not window:  # states alone
        return Pool(tokens=settings.max_total_tokens or settings.context, cell=0, kv_bytes=0)
    cell = full + ratio * window if full else window
    tokens = _capped(int(rest // cell), settings)
    inside = int(tokens * ratio) // settings.page_size * settings.page_size if window and full else None
    used = tokens * full + (inside or 0) * window if full else tokens * window
    return Pool(tokens=tokens, cell=cell, kv_bytes=int(used), window_tokens=inside)


def _compressed(model: Model, rest: int, settings: PoolSettings) -> Pool:
    group = next(group for group in model.cache if isinstance(group, CompressedLayers))
    ratio = settings.window_ratio if settings.window_ratio is not None else sglang_rules.window_ratio(model)
    stages = compressed.of_stages(group, settings.arrangement.pipeline_parallel)
    costs = [_compressed_cost(stage, ratio, settings, last=stage is stages[-1]) for stage in stages]
    cost = max(costs, key=lambda cost: cost.per_token)
    tokens = _capped(int(max(0.0, rest - cost.fixed) // cost.per_token), settings)
    inside = int(tokens * ratio) // settings.page_size * settings.page_size
    kv_bytes = int(tokens * cost.per_token + cost.fixed)
    return Pool(tokens=tokens, cell=cost.per_token, kv_bytes=kv_bytes, window_tokens=inside)


def _compressed_cost(stage: CompressedLayers, ratio: float, settings: PoolSettings, *, last: bool) -> compressed.Cost:
    if sglang_rules.states_per_token(settings.version):
        return compressed.early_cost(stage, ratio=ratio, drafts=settings.draft_tokens, last=last)
    return compressed.cost(
        stage, page_size=settings.page_size, ratio=ratio, drafts=settings.draft_tokens,
        requests=settings.max_running_requests,
    )  # fmt: skip


def _capped(tokens: int, settings: PoolSettings) -> int:
    most = tokens if settings.max_total_tokens is None else min(tokens, settings.max_total_tokens)
    return max(0, most) // settings.page_size * settings.page_size


def _requests(model: Model, pool: Pool, settings: PoolSettings) -> int:
    """Requests that run at once (``resolve_max_num_reqs``), per attention group."""
    asked = settings.max_running_requests
    if asked is None:
        guess = int(pool.tokens / max(1, settings.context or model.context_length) * 512)
        requests = min(max(min(guess, 4096), 2048), pool.tokens // 2) if not settings.draft_tokens else 48
    else:
        requests = min(max(1, asked // settings.arrangement.attention_data_parallel), pool.tokens // 2)
    if pool.state_slots is not None:
        requests = min(requests, pool.state_slots // _per_request(model, settings))
    return requests


def good_state_ratio(model: Model, arrangement: Arrangement, *, context: int | None) -> float:
    """States for as many requests as the cache holds contexts of the length asked for; SGLang's own ratio otherwise."""
    settings = PoolSettings(arrangement=arrangement)
    full, window = cells(model, settings)
    each = state_bytes(model, settings)
    if context is None or not each or not full + window:
        return sglang_rules.STATE_RATIO
    ratio = each * sglang_rules.slots_per_request(model) / ((full + window) * context)
    return min(sglang_rules.STATE_RATIO, max(0.05, round(ratio + 0.005, 2)))
