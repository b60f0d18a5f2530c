"""What the weights of a model are for: their bytes by role, which decides how they are split over GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Role = Literal[
    "embedding", "head", "query", "key_value", "output", "latent", "indexer", "mlp", "experts", "shared_experts",
    "router", "linear", "vision", "norm", "draft", "other",
]  # fmt: skip
"""``latent``: the down projections of latent attention, whole on every GPU; its up projections are ``query`` and
``key_value``. ``linear``: Mamba and linear attention. ``draft``: layers for multi-token prediction (MTP)."""


@dataclass(frozen=True, kw_only=True)
class TensorGroup:
    """All tensors of one role and one stored type: exact bytes in the checkpoint, scales of a quantisation included.

    ``dtype`` as stored: ``BF16``, ``F8_E4M3``, ``U8`` (safetensors) or ``Q4_K`` (GGUF).
    """

    role: Role
    dtype: str
    size_bytes: int


def role(name: str, *, layers: int, mtp_layers: int = 0) -> Role:
    """What the tensor ``name`` is for, in the spelling of a safetensors file or of a GGUF file.

    ``layers`` is ``num_hidden_layers`` (GGUF: ``block_count``, which counts ``mtp_layers`` as well): what is numbered
    beyond drafts. Scales, zero points and biases are of the role of their weight. A fused projection of queries, keys
    and values is ``query``. The sparse-attention parts of DeepSeek V4 beside its indexer (compressors) are ``indexer``
    too: both are whole on every GPU.
    """
    number = _LAYER.search(name)
    if number is not None and not _TOWER.search(name):
        first_draft = layers - mtp_layers if name.startswith("blk.") else layers
        if int(number[1]) >= first_draft:
            return "draft"
    return _by_shape_of_name(_NUMBERS.sub(".", name))


@lru_cache(maxsize=4096)  # names repeat in every layer and for every expert: without their numbers few are left
def _by_shape_of_name(name: str) -> Role:
    return next((kind for kind, pattern in _PATTERNS if pattern.search(name)), "other")


def _words(*words: str) -> re.Pattern[str]:
    """Matches a name that has one of ``words`` (regular expressions) as a whole component between dots."""
    return re.compile(rf"(?:^|\.)(?:{'|'.join(words)})(?=\.|$)", re.IGNORECASE)


_LAYER = re.compile(r"(?:^|\.)(?:layers|blk|h|blocks)\.(\d+)\.")
_NUMBERS = re.compile(r"\.\d+(?=\.|$)")
_TOWER = re.compile(
    r"(?:^|\.)(?:visual|vision\w*|\w*vit\w*|\w*_tower|image_\w+|img_\w+|multi_modal_projector|mm_projector|mm|v|a|aligner|"
    r"audio\w*|\w*resampler|patch_merg\w+|embed_vision|embed_audio|mlp1|vpm|apm|speech\w*|encoder|decoder)\.",
    re.IGNORECASE,
)

_SHARED = r"shared_experts?|share_experts?|shared_mlp|shared_head_mlp|ffn_(?:gate|up|down)_shexp"
_PATTERNS: tuple[tuple[Role, re.Pattern[str]], ...] = (  # the first that matches decides
    ("vision", _words(
        "visual", r"vision\w*", r"\w*vit\w*", r"\w*(?:vision|image|audio|video|speech)_tower", r"image_\w+", r"img_\w+",
        "multi_modal_projector", "mm_projector", "mm", "aligner", r"audio_\w+", r"\w*resampler", r"patch_merg\w+",
        "embed_vision", "embed_audio", "mlp1", "vpm", "apm", r"speech_\w+",
        r"[va]\.(?:blk|patch_embd|position_embd|post_ln)",
    )),
    ("draft", _words(r"mtp\w*", r"nextn\w*", "eh_proj", "enorm", "hnorm", "shared_head")),
    ("router", _words(
        "gate", "router", r"gate\.wg", "ffn_gate_inp", "shared_expert_gate", "ffn_gate_inp_shexp", r"e_score_\w+",
        r"exp_probs_b", "expert_bias", "expert_biases", "tid2eid",
    )),
    ("norm", re.compile(r"norm|(?:^|\.)ln_\w+(?=\.|$)|layernorm|(?:^|\.)ln(?=\.|$)", re.IGNORECASE)),
    ("shared_experts", _words(_SHARED)),
    ("experts", _words(
        "experts", "switch_mlp", r"ffn_(?:gate|up|down|gate_up)_exps", r"block_sparse_moe\.(?:input|output)_linear",
        r"moe\.(?:gate|up|down)_proj",
    )),
    ("indexer", _words(r"indexer\w*", r"\w*compressor\w*", "index_q_proj", "index_k_proj")),
    ("latent", _words(
        r"q_a_proj\w*", r"kv_a_proj\w*", r"fused_qkv_a_proj\w*", "wq_a", "wkv_a", "wqkv_a", "wkv", "attn_q_a",
        r"attn_kv_a\w*",
    )),
    ("linear", _words(
        "linear_attn", "mamba", r"ssm\w*", r"\w*conv1?d?", "shortconv", "short_conv", r"a_log\w*", "dt_bias",
        r"in_proj(?:_\w+)?", r"[fg]_[ab]_proj", "b_proj", "attn_gate", "x_proj", "dt_proj",
        r"mixer\.(?:d|out_proj|in_proj|conv1d)",
        r"time_mix_\w+",
    )),
    ("key_value", _words(
        "k_proj", "v_proj", "kv_b_proj", "kv_proj", "wk", "wv", "k", "v", "key", "value", "attn_k", "attn_v",
        "attn_kv_b", "attn_k_b", "attn_v_b", "k_lin", "v_lin", "key_proj", "value_proj",
    )),
    ("query", _words(
        "q_proj", "q_b_proj", r"qkv\w*", "query", r"query_key_value", "c_attn", "wq", "wq_b", "wqkv", "attn_q",
        "attn_q_b", "attn_qkv", "q", "q_lin", "query_proj", r"attention\.wqkv",
    )),
    ("output", _words(
        "o_proj", "attn_output", r"wo_[ab]",
        r"(?:self_)?att(?:ention|n)\w*\.(?:\w+\.)?(?:dense|out_proj|c_proj|proj|wo|out_lin|o)",
        "out_proj", r"attn_output_[ab]",
    )),
    ("mlp", _words(
        "mlp", r"ffn\w*", "feed_forward", r"fc_?(?:in|out|1|2)", r"(?:gate|up|down|gate_up)_proj", "intermediate",
        r"dense_h_to_4h", r"dense_4h_to_h", r"w[123i]", r"output\.dense", "lin1", "lin2", "block_sparse_moe",
    )),
    ("head", _words(
        "lm_head", "embed_out", r"^output", "score", r"classifier", "v_head", "cls", "head", "lm_head_bias",
    )),
    ("embedding", _words(
        r"embed_tokens\w*", r"wte", "wpe", r"\w*embeddings?", r"tok_embeddings", r"token_embd\w*", r"embed\w*",
        r"position_embd", "token_types", r"per_layer_token_embd",
    )),
)  # fmt: skip
