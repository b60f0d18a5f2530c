"""What the built-in model ``tiny`` is: a real Llama architecture, small enough to be written in a second."""

from __future__ import annotations

from functools import cache
from typing import Any

from llmserve import paths

BUILDER = 1
"""Raise it with every change of the bytes that are built: the folder's name depends on it."""

ARCHITECTURE = "LlamaForCausalLM"
HIDDEN = 128
HEADS = 4
KV_HEADS = 2
HEAD_DIM = 32  # the smallest that every attention kernel takes
LAYERS = 2
INTERMEDIATE = 256
CONTEXT = 2048
VOCABULARY = 768
RMS_EPSILON = 1e-5
ROPE_THETA = 10000.0

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)  # their position is their token id

GGUF_FILE = "tiny.gguf"
FILES = (
    "config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
    "tokenizer_config.json", GGUF_FILE,
)  # fmt: skip


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor under its Hugging Face name."""
    block = {
        "input_layernorm": (HIDDEN,),
        "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
        "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
        "post_attention_layernorm": (HIDDEN,),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
    }
    layers = {f"model.layers.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in block.items()}
    outer = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "lm_head.weight": (VOCABULARY, HIDDEN)}
    return outer | layers | {"model.norm.weight": (HIDDEN,)}


def config() -> dict[str, Any]:
    """The content of ``config.json``."""
    end, turn_end = SPECIAL_TOKENS.index(END_OF_TEXT), SPECIAL_TOKENS.index(TURN_END)
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": CONTEXT,
        "vocab_size": VOCABULARY,
        "hidden_act": "silu",
        "rms_norm_eps": RMS_EPSILON,
        "rope_theta": ROPE_THETA,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": end,
        "eos_token_id": turn_end,
        "pad_token_id": end,
        "torch_dtype": "bfloat16",
    }


@cache
def text() -> str:
    """The page from which the vocabulary and the word pairs are taken."""
    return (paths.templates_dir() / "models" / "tiny.txt").read_text(encoding="utf-8")


def version() -> str:
    """Twelve hex digits that change whenever the built files would."""
    from hashlib import sha256

    return sha256(f"{BUILDER}\n{text()}".encode()).hexdigest()[:12]
