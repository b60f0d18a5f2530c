from __future__ import annotations

from typing import Any

import pytest

from llmserve.models.architecture import Architecture
from llmserve.models.layers import AttentionLayers
from tests.unit.models.layouts import read


def windows(shape: Architecture) -> dict[int | None, int]:
    return {group.window: group.layers for group in shape.cache if isinstance(group, AttentionLayers)}


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 8}, {None: 8, 1024: 4}),
        ("qwen2", {"use_sliding_window": False, "max_window_layers": 8}, {None: 12}),
        ("qwen3", {}, {None: 12}),
        ("mistral", {"max_position_embeddings": 1024}, {None: 12}),
        ("gemma2", {}, {1024: 6, None: 6}),
        ("gemma3n_text", {}, {1024: 10, None: 2}),
        ("cohere2", {"sliding_window_pattern": 3}, {1024: 8, None: 4}),
        ("exaone4", {"sliding_window_pattern": "LLG"}, {1024: 8, None: 4}),
        ("exaone4", {"sliding_window": None}, {None: 12}),
        ("olmo3", {}, {1024: 9, None: 3}),
        ("cwm", {}, {None: 3, 1024: 9}),
        ("afmoe", {"global_attn_every_n_layers": 6}, {1024: 10, None: 2}),
        ("laguna", {"layer_types": ["full_attention"] + ["sliding_attention"] * 11}, {None: 1, 1024: 11}),
        ("inkling_model", {"local_layer_ids": [0, 2]}, {None: 10, 1024: 2}),
        ("llama4_text", {"attention_chunk_size": 512, "sliding_window": None}, {512: 9, None: 3}),
        ("llama4_text", {"attention_chunk_size": 512, "no_rope_layers": [1, 0] * 6}, {512: 6, None: 6}),
        ("smollm3", {"use_sliding_window": False, "no_rope_layers": [1, 0] * 6}, {None: 12}),
    ],
)
def test_which_layers_look_at_a_window(model_type: str, fields: Any, expected: Any) -> None:
    assert windows(read(model_type, **({"sliding_window": 1024} | fields))) == expected
