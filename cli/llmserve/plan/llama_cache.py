"""llama.cpp's memory for context, to the byte: what it logs as "KV buffer size", "RS buffer size" and "compute buffer".

Sources: ``llama-context.cpp`` (sizes of the context), ``llama-kv-cache.cpp``, ``llama-kv-cache-iswa.cpp`` (windows),
``llama-memory-recurrent.cpp`` and ``llama-hparams.cpp`` (states). Each slot has cells of its own, as llama-server does
unless it is told to share them (``--kv-unified``).
"""

from __future__ import annotations

from llmserve.models.layers import AttentionLayers, CacheLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.model import Model

UBATCH = 512
"""llama-server's ``--ubatch-size``: tokens computed at once. A window keeps as many cells more, or they would overwrite
what their neighbours look at."""

_PAD = 256
_STATE_BYTES = 4  # float32, whatever the cache's type


def cells(context: int, parallel: int) -> int:
    """Cells of one slot for ``--ctx-size`` and ``--parallel``: the context of one request."""
    return _padded(max(1, _padded(context) // parallel))


def tokens(model: Model, *, context: int, parallel: int) -> int:
    """Tokens over all slots as ``/props`` reports them: no slot takes more than the model was trained for."""
    return min(cells(context, parallel), model.context_length) * parallel


def kv_bytes(model: Model, *, context: int, parallel: int, element_bytes: int = 2) -> int:
    """Bytes of cache and states. ``context`` is ``--ctx-size``, the total over ``parallel`` slots."""
    slot = cells(context, parallel)
    return parallel * sum(_group_bytes(group, slot, element_bytes) for group in model.cache)


def most_context(model: Model, budget: int, *, parallel: int) -> int:
    """The largest ``--ctx-size`` whose cache ``budget`` bytes hold, at most the model's context for each slot."""
    low, high = 0, -(-model.context_length // _PAD)
    while low < high:
        middle = (low + high + 1) // 2
        taken = kv_bytes(model, context=middle * _PAD * parallel, parallel=parallel)
        low, high = (middle, high) if taken <= budget else (low, middle - 1)
    return low * _PAD * parallel


def checkpoint_bytes(model: Model) -> int:
    """One checkpoint of one slot: windows and states, which cannot be rolled back, copied to host memory.

    llama-server keeps up to ``--n-ctx-checkpoints`` of them (32) for each slot, outside ``--cache-ram``.
    """
    windows = [group for group in model.cache if not isinstance(group, StateLayers) and group.window]
    states = [group for group in model.cache if isinstance(group, StateLayers)]
    kept = sum(_cell_numbers(group) * (group.window or 0) for group in windows) * 2
    return kept + sum(_group_bytes(group, 0, 2) for group in states)


def compute_bytes(model: Model, *, context: int, parallel: int) -> int:
    """An upper bound of the graph's buffer: 1 to 40 % above what tiny models logged with 2,048 tokens or more.

    Activations of one micro-batch in float32 at the widest step, a float16 mask over the cells of one slot for each
    kind of window, and the scores of sparse attention.
    """
    slot = cells(context, parallel)
    rows = min(UBATCH, slot * parallel)
    kinds = {group.window: group for group in model.cache if not isinstance(group, StateLayers)}
    over_cells = 2 * sum(_window_cells(group, slot) for group in kinds.values())
    if any(isinstance(group, LatentLayers) and group.index_layers for group in model.cache):
        over_cells += 8 * slot  # scores in float32, without and with the mask
    return rows * (4 * (6 * model.hidden_size + _widest(model)) + over_cells)


def _group_bytes(group: CacheLayers, slot: int, element_bytes: int) -> int:
    """Bytes for one slot of ``slot`` cells."""
    if isinstance(group, StateLayers):
        return group.layers * _state_numbers(group) * _STATE_BYTES
    kept = _cell_numbers(group) * _window_cells(group, slot)
    if isinstance(group, CompressedLayers):  # not run: every ratio-th token beyond the window
        kept += sum(slot // ratio for ratio in group.ratios if ratio) * group.head_dim
    return kept * element_bytes


def _cell_numbers(group: AttentionLayers | LatentLayers | CompressedLayers) -> int:
    """Numbers that one token takes in all layers of a group."""
    if isinstance(group, AttentionLayers):  # layers that share a cache have none of their own
        return (group.layers - group.shares) * group.kv_heads * (group.key_dim + group.value_dim)
    if isinstance(group, LatentLayers):  # values are a view of the keys
        return group.layers * (group.latent_dim + group.rope_dim) + group.index_layers * group.index_dim
    return group.layers * group.head_dim


def _window_cells(group: AttentionLayers | LatentLayers | CompressedLayers, slot: int) -> int:
    return slot if group.window is None else _padded(min(slot, group.window + UBATCH))


def _state_numbers(group: StateLayers) -> int:
    convolution = (group.kernel - 1) * (group.inner + 2 * group.groups * group.state_dim)
    return convolution + group.heads * group.head_dim * group.state_dim


def _widest(model: Model) -> int:
    """Numbers per token at the widest step: logits, feed-forward (gate, up and their product), heads or states."""
    forward = 3 * model.intermediate_size
    if model.experts:
        forward = max(forward, 3 * (model.experts.active + model.experts.shared) * model.experts.intermediate_size)
    heads = 3 * model.heads * max([model.head_dim, *(_latent_width(group) for group in model.cache)])
    states = [group for group in model.cache if isinstance(group, StateLayers)]
    inner = max((3 * (2 * group.inner + 2 * group.groups * group.state_dim) for group in states), default=0)
    return max(model.vocab_size, forward, heads, inner)


def _latent_width(group: CacheLayers) -> int:
    return group.latent_dim + group.rope_dim if isinstance(group, LatentLayers) else 0


def _padded(number: int) -> int:
    return -(-number // _PAD) * _PAD
