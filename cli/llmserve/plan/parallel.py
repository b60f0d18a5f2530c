"""Which GPUs share one copy of a model, and which sizes the model's shape allows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.layers import AttentionLayers, StateLayers
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement

SIZES = (1, 2, 3, 4, 5, 6, 7, 8)
_BALANCE = 0.9
"""SGLang refuses to start when one GPU has less free memory than this part of another's (``bootstrap.py``)."""

_OLDEST = 75  # "SGLang only supports sm75 and above" (``load_model_utils.py``)
_FEW = 8  # more GPUs than this are taken by free memory alone: the subsets would be too many


def usable(machine: Machine) -> tuple[Gpu, ...]:
    """GPUs that SGLang serves from: AMD, and NVIDIA from Turing on. (Apple's share host memory and go to llama.cpp.)"""
    return tuple(
        gpu for gpu in machine.gpus if gpu.vendor in ("nvidia", "amd") and (capability(gpu) or _OLDEST) >= _OLDEST
    )


def capability(gpu: Gpu) -> int | None:
    """Compute capability of an NVIDIA GPU times ten (``sm_89``: 89); None where it is not known."""
    number = gpu.arch.removeprefix("sm_")
    return int(number) if gpu.arch != number and number.isdecimal() else None


def groups(machine: Machine) -> Iterator[tuple[Gpu, ...]]:
    """Groups of equal GPUs that can work together, small ones first; of each size and kind the best one."""
    kinds: dict[tuple[str, str, int], list[Gpu]] = {}
    for gpu in usable(machine):
        kinds.setdefault((gpu.vendor, gpu.name, gpu.total_bytes), []).append(gpu)
    largest = max(map(len, kinds.values()), default=0)
    for size in range(1, largest + 1):
        found = [best for kind in kinds.values() if (best := _best(kind, size))]
        yield from sorted(found, key=lambda group: -min(gpu.free_bytes for gpu in group))


def _best(kind: list[Gpu], size: int) -> tuple[Gpu, ...] | None:
    """``size`` of these GPUs: balanced, with the most free memory, linked closely."""
    if size > len(kind) or (size > 1 and any(gpu.mig for gpu in kind)):  # MIG slices have no peer access
        return None
    ordered = sorted(kind, key=lambda gpu: (-gpu.free_bytes, gpu.index))
    subsets = combinations(ordered, size) if len(ordered) <= _FEW else [tuple(ordered[:size])]
    balanced = [group for group in subsets if _balanced(group)]
    best = max(balanced, key=_rank, default=None)
    return tuple(sorted(best, key=lambda gpu: gpu.index)) if best else None


def _balanced(group: tuple[Gpu, ...]) -> bool:
    free = [gpu.free_bytes for gpu in group]
    return min(free) >= _BALANCE * max(free)


def _rank(group: tuple[Gpu, ...]) -> tuple[int, int, int, int]:
    least = min(gpu.free_bytes for gpu in group)
    places = len({gpu.numa_node for gpu in group})
    return least // max(1, group[0].total_bytes // 20), nvlinks(group), -places, least


def nvlinks(group: tuple[Gpu, ...]) -> int:
    """Pairs of ``group`` that are linked directly or through a switch."""
    here = {gpu.index for gpu in group}
    return sum(link.peer in here and link.kind in ("nvlink", "xgmi") for gpu in group for link in gpu.links) // 2


def linked(group: tuple[Gpu, ...]) -> bool:
    """Whether every GPU reaches every other one over NVLink or xGMI."""
    return nvlinks(group) == len(group) * (len(group) - 1) // 2


def violation(model: Model, arrangement: Arrangement) -> str | None:
    """Why SGLang would refuse this arrangement of the model; None if it would not.

    Sources: ``linear.py`` (heads, widths), ``fp8.py`` and ``moe_ep_setup.py`` (blocks of 128), GPTQ and AWQ groups.
    """
    return _heads(model, arrangement) or _widths(model, arrangement) or _experts(model, arrangement)


def _heads(model: Model, arrangement: Arrangement) -> str | None:
    ranks = arrangement.attention_tensor_parallel
    if arrangement.tensor_parallel % arrangement.attention_data_parallel:
        return f"{arrangement.attention_data_parallel} attention groups do not divide {arrangement.tensor_parallel}"
    if model.heads % ranks:
        return f"{model.heads} attention heads cannot be split {ranks} ways"
    for group in model.cache:
        if isinstance(group, AttentionLayers) and group.kv_heads % ranks and ranks % group.kv_heads:
            return f"{group.kv_heads} KV heads cannot be split {ranks} ways"
        if isinstance(group, AttentionLayers) and ranks > 1:
            what = f"{group.kv_heads} KV heads of {group.key_dim} split {ranks} ways do"
            if model.weight_block and max(1, group.kv_heads // ranks) * group.key_dim % model.weight_block:
                return f"{what} not fit FP8 blocks of {model.weight_block}"
        if isinstance(group, StateLayers) and group.heads % ranks:
            return f"{group.heads} state heads cannot be split {ranks} ways"
    if arrangement.pipeline_parallel > model.layers:
        return f"{model.layers} layers cannot be split over {arrangement.pipeline_parallel} stages"
    return None


def _widths(model: Model, arrangement: Arrangement) -> str | None:
    ranks, width = arrangement.tensor_parallel, model.intermediate_size
    dense = not model.experts or model.experts.dense_layers > 0
    if ranks == 1 or not width or not dense:
        return None
    if width % ranks:
        return f"the MLP width {width} cannot be split {ranks} ways"
    return _blocks(model, width // ranks, f"the MLP width {width} split {ranks} ways")


def _experts(model: Model, arrangement: Arrangement) -> str | None:
    experts, ranks = model.experts, arrangement.tensor_parallel
    if experts is None:
        return None if arrangement.expert_parallel == 1 else "the model has no experts"
    if ranks % arrangement.expert_parallel or experts.routed % arrangement.expert_parallel:
        return f"{experts.routed} experts on {ranks} GPUs cannot form {arrangement.expert_parallel} groups"
    share = ranks // arrangement.expert_parallel
    if experts.intermediate_size % share:
        return f"the expert width {experts.intermediate_size} cannot be split {share} ways"
    what = f"the expert width {experts.intermediate_size} split {share} ways"
    return _blocks(model, experts.intermediate_size // share, what) if share > 1 else None


def _blocks(model: Model, width: int, what: str) -> str | None:
    if model.quantization == "mxfp4":  # whole blocks go to each GPU, padded (``models/gpt_oss.py``)
        return None
    for block, kind in ((model.weight_block, "FP8 blocks"), (model.group_size, "quantisation groups")):
        if block and width % block:
            return f"{what} does not fit {kind} of {block}"
    return None


def arrangements(model: Model, gpus: int, *, attention_groups: bool) -> Iterator[Arrangement]:
    """Ways to spread one copy of ``model`` over ``gpus``, the usual ones first; only such that SGLang accepts.

    ``attention_groups`` also tries attention data parallelism, which keeps latent caches from being held by every GPU.
    """
    for stages in (1, 2, 4, 8):
        if gpus % stages or (stages > 1 and gpus // stages not in (*SIZES, 16)):
            continue
        found = list(_of_stage(model, gpus // stages, stages, attention_groups=attention_groups))
        yield from found
        if found:  # more stages only add latency
            return


def _of_stage(model: Model, ranks: int, stages: int, *, attention_groups: bool) -> Iterator[Arrangement]:
    groups = (1, ranks) if attention_groups and ranks > 1 else (1,)
    for attention in groups:
        for experts in (size for size in range(1, ranks + 1) if ranks % size == 0):
            arrangement = Arrangement(
                tensor_parallel=ranks, pipeline_parallel=stages, attention_data_parallel=attention,
                expert_parallel=experts,
            )  # fmt: skip
            if violation(model, arrangement) is None:
                yield arrangement
                break
