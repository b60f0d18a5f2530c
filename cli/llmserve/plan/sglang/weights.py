"""How much of a GPU's memory the weights take once SGLang has loaded them.

Sources: SGLang 0.5.23, ``srt/layers/linear.py``, ``vocab_parallel_embedding.py``, ``moe/fused_moe_triton/layer.py``,
``quantization/mxfp4.py``, ``rotary_embedding/base.py``, ``models/deepseek_common/deepseek_weight_loader.py``,
``distributed/utils.py`` (pipeline stages). Recorded starts of Qwen models on discrete NVIDIA cards in 2026 logged what
is computed here to 0.1 GiB; DeepSeek V4 on eight cards 5 % more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from llmserve.models.layers import AttentionLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.model import Model
from llmserve.models.tensors import Role, TensorGroup
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import allocator, memory, rules
from llmserve.plan.sglang.shares import alone, latent, share

_PIECES: dict[Role, tuple[float, ...]] = {
    "mlp": (2 / 3, 1 / 3), "experts": (2 / 3, 1 / 3), "shared_experts": (2 / 3, 1 / 3), "linear": (3 / 4, 1 / 4),
    "vision": (1 / 3, 1 / 3, 1 / 4, 1 / 12), "draft": (0.6, 0.3, 0.1), "indexer": (2 / 3, 1 / 3),
}  # fmt: skip
"""The tensors that a role has in each layer: gate and up are one, queries, keys and values are one."""

_ORDER: tuple[Role, ...] = (
    "embedding", "head", "linear", "latent", "query", "key_value", "output", "indexer", "experts", "router",
    "shared_experts", "mlp", "norm", "other", "vision", "draft",
)  # fmt: skip
"""In which layers are made."""

_REPEATED_ENDS = ("deepseek", "glm", "kimi")
"""Families whose draft layers repeat the embedding and the head in the checkpoint; SGLang shares those of the model."""

_FIRST_CALLS = 75 * 1024**2
_HOST_GROWTH = 205 * 1024**2  # 0.22 to 0.24 GiB in four of five starts of one model on a GB10, nothing in the fifth

_PARTIAL_ROTARY = {"qwen3_next": 4, "qwen3_5": 4, "glm": 2, "minimax": 2, "stablelm": 4, "gpt_neox": 4}
_TWO_TABLES = ("deepseek_v4", "deepseek_ref", "gemma3")
_NO_ROTARY = ("gpt2", "opt", "bert", "roberta", "xlm", "nemotron_h", "mamba", "bloom", "mpt", "jamba", "t5")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """``size_bytes`` on the fullest GPU, everything that is loaded at "Load weight end"; ``basis`` says from what."""

    size_bytes: int
    basis: str


@dataclass(frozen=True)
class _Stage:
    """A pipeline stage: how many of the layers, and which ends of the model."""

    layers: int
    first: bool
    last: bool


def on_device(
    model: Model, arrangement: Arrangement, *, draft: bool = False, arch: str = "", version: str = ""
) -> Weights:
    """The fullest GPU of one replica. ``arch`` is that of the GPU (``sm_90``): FP4 kernels pad differently.
    ``version`` is SGLang's, the newest known if empty.

    ``draft`` loads the layers for multi-token prediction as well, which SGLang does for NEXTN and EAGLE.
    """
    sizes = max(
        allocator.reserved(_tensors(model, arrangement, stage, draft=draft, arch=arch))
        for stage in _stages(model, arrangement)
    )
    basis = {
        "headers": "sizes of the tensors in the checkpoint",
        "config": "sizes computed from config.json",
        "recipe": "computed from the recipe",
    }[model.basis]
    return Weights(size_bytes=sizes + _besides(arch, version), basis=f"{basis}, on the fullest GPU")


def _besides(arch: str, version: str) -> int:
    """What the engine takes for weights because it goes while they load: it compares free memory before and after.

    Where host and GPU share their memory that is the growth of its own processes. Releases before 0.5 made their first
    cuBLAS calls then: 0.04 to 0.11 GiB in nine recorded starts of models from 1 to 15 GiB.
    """
    if arch in memory.UNIFIED:
        return _HOST_GROWTH
    return _FIRST_CALLS if arch.startswith("sm_") and rules.before(version, (0, 5)) else 0


def tensor_bytes(model: Model, arrangement: Arrangement, *, draft: bool = False, arch: str = "") -> int:
    """The tensors alone on the fullest GPU, as engines report them that ask PyTorch instead of the driver (vLLM)."""
    return max(
        sum(_tensors(model, arrangement, stage, draft=draft, arch=arch)) for stage in _stages(model, arrangement)
    )


def _stages(model: Model, arrangement: Arrangement) -> list[_Stage]:
    """Layers are dealt out evenly; the last stages get one more where it does not work out (``get_pp_indices``)."""
    count = arrangement.pipeline_parallel
    each, more = divmod(model.layers, count)
    return [
        _Stage(each + (i >= count - more), first=i == 0, last=i == count - 1) for i in range(count)
    ]  # fmt: skip


def _tensors(model: Model, arrangement: Arrangement, stage: _Stage, *, draft: bool, arch: str) -> Iterator[int]:
    """Bytes of each tensor on one GPU, layer by layer as the model is built."""
    held = [
        replace(group, size_bytes=int(group.size_bytes * share(model, group, arrangement, arch)))
        for group in sorted(_loaded(model, stage, draft=draft), key=lambda group: _ORDER.index(group.role))
    ]
    yield from (group.size_bytes for group in held if group.role in ("embedding", "head"))
    repeated: list[tuple[int, int]] = []
    for group in _fused(model, held):
        count = _layers_of(model, group.role)
        here = count if group.role in ("draft", "vision") else _dealt(count, model.layers, stage.layers)
        repeated += [(int(group.size_bytes * piece / count), here) for piece in _PIECES.get(group.role, (1.0,))]
    repeated += _indices(model, arrangement, stage, arch)
    for layer in range(max((count for _, count in repeated), default=0)):
        yield from (size for size, count in repeated if layer < count)
    yield from _rotary(model)


def _indices(model: Model, arrangement: Arrangement, stage: _Stage, arch: str) -> list[tuple[int, int]]:
    """Two orders of the inputs of every packed expert, which ROCm's kernels never use and keep all the same
    (``compressed_tensors_wNa16_moe.py``); others give them back."""
    experts = model.experts
    packed = any(group.role == "experts" and group.dtype == "I32" for group in model.tensors)
    if not (experts and packed and arch.startswith("gfx") and model.quantization == "compressed-tensors"):
        return []
    held = experts.routed // arrangement.expert_parallel
    width = experts.intermediate_size * arrangement.expert_parallel // arrangement.tensor_parallel
    layers = _dealt(_layers_of(model, "experts"), model.layers, stage.layers)
    return [(held * size * 4, layers) for size in (model.hidden_size, model.hidden_size, width, width)]


def _loaded(model: Model, stage: _Stage, *, draft: bool) -> Iterator[TensorGroup]:
    """The groups that a stage loads; a tied head is loaded again where the embedding is on another stage."""
    for group in model.tensors or (TensorGroup(role="mlp", dtype="BF16", size_bytes=model.weight_bytes),):
        if group.role == "embedding":
            if stage.first:
                yield group
            elif stage.last and model.tied_embeddings:
                yield replace(group, role="head")
        elif group.role == "head":
            if stage.last and not (model.tied_embeddings and stage.first):
                yield group
        elif group.role == "vision":
            if stage.first:
                yield group
        elif group.role != "draft":
            yield group
        elif draft and stage.last:
            yield _without_ends(model, group)


def _without_ends(model: Model, group: TensorGroup) -> TensorGroup:
    """A checkpoint's draft layer without the copies of the embedding and the head that some have there."""
    ends = 2 * model.vocab_size * model.hidden_size * 2
    repeats = model.basis == "headers" and model.model_type.startswith(_REPEATED_ENDS)
    if not (repeats and group.dtype in ("BF16", "F16") and group.size_bytes > ends):
        return group
    return replace(group, size_bytes=group.size_bytes - ends)


def _fused(model: Model, groups: list[TensorGroup]) -> Iterator[TensorGroup]:
    """What becomes one tensor per layer: queries, keys and values. Latent attention keeps them apart, and holds its up
    projection for keys and values a second time."""
    keys = {group.dtype: group.size_bytes for group in groups if group.role == "key_value"}
    absorbs = latent(model)
    for group in groups:
        if group.role in ("embedding", "head"):
            continue
        if absorbs or group.role not in ("query", "key_value"):
            yield group
        elif group.role == "query":
            yield replace(group, size_bytes=group.size_bytes + keys.pop(group.dtype, 0))
        if absorbs and group.role == "key_value" and not _states(model):
            yield replace(group, size_bytes=_absorbed(model, group))
    yield from (
        TensorGroup(role="key_value", dtype=dtype, size_bytes=size) for dtype, size in keys.items() if not absorbs
    )


def _absorbed(model: Model, group: TensorGroup) -> int:
    """``w_kc`` and ``w_vc``: 16 bit, except for FP8 with one scale per channel, which stays as it is."""
    wide = 2 if model.weight_block else 1
    factor = {"BF16": 1.0, "F16": 1.0, "F8_E4M3": wide, "I8": 2, "I32": 4, "U8": 4, "F4": 4}.get(group.dtype, 0.0)
    if group.dtype == "F32" and alone(model, group):
        factor = 1.0  # already counted as 16 bit
    return int(group.size_bytes * factor)


def _layers_of(model: Model, role: Role) -> int:
    """In how many layers there are tensors of a role: what they are rounded up to depends on how many they are."""
    states = _states(model)
    attention = sum(g.layers for g in model.cache if isinstance(g, (AttentionLayers, LatentLayers, CompressedLayers)))
    dense = model.experts.dense_layers if model.experts else model.layers
    counts: dict[Role, int] = {
        "query": attention, "key_value": attention, "output": attention, "latent": attention, "indexer": attention,
        "linear": states, "experts": model.layers - dense, "shared_experts": model.layers - dense,
        "router": model.layers - dense, "mlp": dense, "draft": model.mtp_layers,
        "vision": model.vision.layers if model.vision else 0,
    }  # fmt: skip
    return counts.get(role, 0) or model.layers


def _states(model: Model) -> int:
    return sum(group.layers for group in model.cache if isinstance(group, StateLayers))


def _dealt(count: int, layers: int, here: int) -> int:
    return max(1, round(count * here / layers)) if here < layers else count


def _rotary(model: Model) -> Iterator[int]:
    """Cosines and sines of every position in single precision (``rotary_embedding/base.py``), one table for all layers
    that turn alike: DeepSeek V4 has two, and so has Gemma, whose windowed layers turn faster."""
    kind = model.model_type
    if kind.startswith(_NO_ROTARY) or not model.heads:
        return
    if kind.startswith("gemma4"):  # tables as wide as the heads of each kind of layer
        yield from {model.context_length * g.key_dim * 4 for g in model.cache if isinstance(g, AttentionLayers)}
        return
    short = [group.rope_dim for group in model.cache if isinstance(group, (LatentLayers, CompressedLayers))]
    parts = next((divisor for family, divisor in _PARTIAL_ROTARY.items() if kind.startswith(family)), 1)
    table = model.context_length * (short[0] if short else model.head_dim // parts) * 4
    yield from [table] * (2 if kind.startswith(_TWO_TABLES) else 1)
