from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.errors import LlmserveError
from llmserve.models.architecture import Architecture, from_config
from tests.unit.models.layouts import BASE
from tests.unit.models.recorded import config, names

_MODELS = (
    "Qwen/Qwen3.5-35B-A3B", "google/gemma-4-26B-A4B", "deepseek-ai/DeepSeek-V3.2", "deepseek-ai/DeepSeek-V4-Flash",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "ling3-2026-08-bf16-1xgpu",
)  # fmt: skip
_SECTIONS = (
    "text_config", "vision_config", "quantization_config", "rope_scaling", "linear_attn_config", "per_layer_config",
    "attention_other_setting", "block_configs", "ffn_config", "attn_config", "efficient_attention_config",
)  # fmt: skip
_FIELDS = sorted({field for name in _MODELS for part in (config(name), *config(name).values()) if isinstance(part, dict)
                  for field in part} | set(_SECTIONS))  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["LLG", "M*-E"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=3),
    max_leaves=4,
)


def outcome(config: dict[str, Any]) -> Architecture | LlmserveError:
    try:
        return from_config(config, "config.json")
    except LlmserveError as error:
        return error


@settings(max_examples=300)
@given(name=st.sampled_from(_MODELS), field=st.sampled_from(_FIELDS), value=_VALUES, inside=st.booleans())
def test_any_value_is_read_or_named(name: str, field: str, value: Any, inside: bool) -> None:
    changed = config(name)
    if inside and "text_config" in changed:
        changed["text_config"] = changed["text_config"] | {field: value}
    else:
        changed[field] = value
    found = outcome(changed)
    if isinstance(found, LlmserveError):
        assert found.code == "broken_checkpoint"
        assert "config.json" in str(found)
    else:
        assert 0 < found.layers <= 10_000
        assert sum(group.layers for group in found.cache) <= 2 * found.layers


@pytest.mark.parametrize("field", ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"])
def test_unknown_architectures_need_only_what_all_have(field: str) -> None:
    needed = {name: BASE[name] for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")}
    shape = from_config(needed | {"model_type": "novel"}, "config.json")
    assert not shape.familiar
    assert [group.layers for group in shape.cache] == [12]
    with pytest.raises(LlmserveError, match=f"config.json does not say '{field}'"):
        from_config({name: value for name, value in needed.items() if name != field}, "config.json")


def test_every_recorded_configuration_that_is_whole_is_familiar() -> None:
    whole = [name for name in names() if config(name).get("model_type") and "vocab_size" in str(config(name))]
    assert len(whole) > 100
    assert [name for name in whole if not from_config(config(name), name).familiar] == []
