"""Which part of the weights of a role one GPU holds, and in which form.

Sources: SGLang 0.5.23, ``srt/layers/linear.py`` (column and row parallel layers), ``vocab_parallel_embedding.py``,
``moe/fused_moe_triton/layer.py``, ``quantization/fp8.py`` and ``mxfp4.py``.
"""

from __future__ import annotations

from llmserve.models.layers import AttentionLayers, LatentLayers, StateLayers
from llmserve.models.model import Model
from llmserve.models.tensors import Role, TensorGroup
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang.mxfp4 import growth

_VOCABULARY_PAD = 64  # vocab_parallel_embedding.py: DEFAULT_VOCAB_PADDING_SIZE
_WHOLE: tuple[Role, ...] = ("latent", "indexer", "router", "norm", "other")
_ATTENTION: tuple[Role, ...] = ("query", "key_value", "output", "linear")
_HALVED: tuple[Role, ...] = (
    "embedding", "head", "query", "key_value", "output", "latent", "mlp", "experts", "shared_experts", "vision",
)  # fmt: skip


def share(model: Model, group: TensorGroup, arrangement: Arrangement, arch: str) -> float:
    """The part of a group that one GPU holds, in the form in which it holds it."""
    role, tp, attention = group.role, arrangement.tensor_parallel, arrangement.attention_tensor_parallel
    form = 0.5 if group.dtype == "F32" and role in _HALVED and alone(model, group) else 1.0
    if role == "experts" and model.quantization == "mxfp4" and group.dtype in ("U8", "F4", "I8") and model.experts:
        form *= growth(model.hidden_size, model.experts.intermediate_size, arrangement, arch)
    if role == "experts" and group.dtype == "F8_E8M0" and model.model_type.startswith("deepseek_v4"):
        form *= 4  # quantization/fp8.py holds the scales of FP4 experts in single precision
    if role in _WHOLE:
        return form
    if role in ("embedding", "head"):
        return form * _vocabulary(model, attention if role == "embedding" else tp)
    if role == "key_value":
        return form * _key_value(model, attention)
    if role == "query" and _holds_keys(model):
        keys = 2 * model.kv_heads / (model.heads + 2 * model.kv_heads)
        return form * (keys * _key_value(model, attention) + (1 - keys) / attention)
    if role in _ATTENTION:
        return form / attention
    if role == "vision":
        return form * _encoder(model, group, attention)
    if role == "shared_experts" and arrangement.all_to_all:
        return form
    if role == "draft":
        return form * _draft(model, group, tp)
    return form / tp


def alone(model: Model, group: TensorGroup) -> bool:
    """Whether a role has weights in F32 and in nothing else: those are held in 16 bit. Others in F32 are scales."""
    return all(other.dtype == "F32" for other in model.tensors if other.role == group.role)


def _holds_keys(model: Model) -> bool:
    """Whether the checkpoint has queries, keys and values in one tensor."""
    plain = all(isinstance(group, (AttentionLayers, StateLayers)) for group in model.cache) and model.heads > 0
    return plain and all(group.role != "key_value" for group in model.tensors)


def _vocabulary(model: Model, gpus: int) -> float:
    padded = -(-model.vocab_size // _VOCABULARY_PAD) * _VOCABULARY_PAD
    if padded % gpus:
        padded = -(-model.vocab_size // (_VOCABULARY_PAD * gpus)) * _VOCABULARY_PAD * gpus
    return padded / model.vocab_size / gpus


def _key_value(model: Model, gpus: int) -> float:
    """Each GPU has one head at least, so that with more GPUs than heads several hold the same."""
    groups = [group for group in model.cache if isinstance(group, AttentionLayers)]
    if latent(model) or not (groups or model.kv_heads):
        return 1 / gpus
    weights = [(g.layers * g.kv_heads * (g.key_dim + g.value_dim), g.kv_heads) for g in groups] or [(1, model.kv_heads)]
    total = sum(weight for weight, _ in weights)
    return sum(weight * max(1 / gpus, 1 / heads) for weight, heads in weights) / total


def _encoder(model: Model, group: TensorGroup, gpus: int) -> float:
    """Heads that cannot be dealt out evenly are filled up with empty ones (``attention/vision_utils.py``)."""
    vision = model.vision
    heads = vision.heads if vision else 0
    if not (vision and heads and group.size_bytes) or heads % gpus == 0:
        return 1 / gpus
    part = min(1.0, 4 * vision.hidden_size**2 * vision.layers * 2 / group.size_bytes)
    return (part * -(-heads // gpus) * gpus / heads + 1 - part) / gpus


def _draft(model: Model, group: TensorGroup, tp: int) -> float:
    """The projection of two vectors into one is whole on every GPU, the rest is divided like the model's own layers."""
    whole = 2 * model.hidden_size * model.hidden_size * 2 * max(1, model.mtp_layers)
    part = min(1.0, whole / group.size_bytes) if group.dtype in ("BF16", "F16") and group.size_bytes else 0.0
    return part + (1 - part) / tp


def latent(model: Model) -> bool:
    return any(isinstance(group, LatentLayers) for group in model.cache)
