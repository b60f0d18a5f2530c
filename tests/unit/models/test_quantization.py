from __future__ import annotations

from typing import Any

import pytest

from llmserve.errors import BrokenCheckpointError
from llmserve.models.architecture.quantization import Quantization, quantization


def read(config: Any) -> Quantization:
    return quantization({"quantization_config": config})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, Quantization()),
        ({"bits": 4}, Quantization(method="unknown")),
        ({"quant_method": "novel"}, Quantization(method="novel")),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, Quantization(method="fp8", weight_block=128)),
        ({"quant_method": "fp8", "weight_block_size": [1, 32]}, Quantization(method="fp8", group_size=32)),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, Quantization(method="gptq", group_size=128)),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, Quantization(method="gptq")),
        ({"quant_method": "awq", "q_group_size": 64}, Quantization(method="awq", group_size=64)),
        ({"quant_method": "mxfp4"}, Quantization(method="mxfp4", group_size=32)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, Quantization(method="bitsandbytes")),
        ({"quant_method": "w8a8_int8"}, Quantization(method="w8a8_int8")),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, Quantization(method="modelopt_fp4", group_size=16)),
        ({"quant_algo": "W4A16_NVFP4"}, Quantization(method="modelopt_fp4", group_size=16)),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, Quantization(method="modelopt_fp8")),
        ({"quant_algo": "MXFP8"}, Quantization(method="mxfp8", group_size=32)),
        ({"quant_algo": "INT4_AWQ"}, Quantization(method="INT4_AWQ")),
        ({"quant_method": "modelopt"}, Quantization(method="modelopt")),
    ],
)
def test_methods(config: Any, expected: Quantization) -> None:
    assert read(config) == expected


@pytest.mark.parametrize(
    "config",
    [
        "fp8", ["fp8"], {"quant_method": 5}, {"quant_method": ""}, {"quant_method": "gptq", "bits": 0},
        {"quant_method": "gptq", "bits": "four"}, {"quant_method": "awq", "group_size": -5},
        {"quant_method": "fp8", "weight_block_size": "large"}, {"quant_method": "fp8", "weight_block_size": [0, 0]},
        {"quant_method": "fp8", "weight_block_size": [128]},
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(config: Any) -> None:
    with pytest.raises(BrokenCheckpointError, match="makes no sense"):
        read(config)


@pytest.mark.parametrize(
    ("layers", "method"),
    [
        ({"a": {"quant_algo": "NVFP4"}, "b": {"quant_algo": "FP8"}}, "modelopt_mixed"),
        ({"a": {"quant_algo": "W4A8_AWQ"}}, "w4afp8"),
        ({}, "modelopt_mixed"),
    ],
)
def test_mixed_precision_depends_on_its_layers(layers: Any, method: str) -> None:
    assert read({"quant_algo": "MIXED_PRECISION", "quantized_layers": layers}).method == method


def test_compressed_tensors_list_schemes_by_group() -> None:
    groups = {"group_0": {"weights": {"num_bits": 4, "group_size": 32}, "input_activations": None}}
    scheme = {"num_bits": 8, "type": "float"}
    found = read({"quant_method": "compressed-tensors", "config_groups": groups, "kv_cache_scheme": scheme})
    assert found == Quantization(method="compressed-tensors", group_size=32, kv_cache_dtype="fp8")
    blocks = {"group_0": {"weights": {"strategy": "block", "block_structure": [128, 128]}}}
    assert read({"quant_method": "compressed-tensors", "config_groups": blocks}).weight_block == 128


def test_quark_has_one_scheme_for_all() -> None:
    found = read({"quant_method": "quark", "global_quant_config": {"weight": {"group_size": 32}}})
    assert found == Quantization(method="quark", group_size=32)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kv_cache_quant_algo": "FP8"}, "fp8"),
        ({"kv_cache_quant_algo": "NVFP4"}, "fp4"),
        ({"kv_cache_quant_algo": None}, None),
        ({"kv_cache_quant_algo": "auto"}, None),
        ({"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, "fp8"),
        ({"kv_cache_scheme": {"num_bits": 8, "type": "int"}}, "int8"),
        ({"kv_cache_scheme": {"num_bits": "8"}}, None),
        ({"kv_cache_scheme": None}, None),
    ],
)
def test_what_the_checkpoint_asks_for_its_cache(fields: Any, expected: str | None) -> None:
    assert read({"quant_method": "modelopt", "quant_algo": "FP8"} | fields).kv_cache_dtype == expected


def test_the_file_of_its_own_that_modelopt_writes() -> None:
    """``hf_quant_config.json`` as it stands, or put under ``quantization_config``."""
    file = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    expected = Quantization(method="modelopt_fp4", group_size=16, kv_cache_dtype="fp8")
    assert quantization(file) == expected
    assert read(file) == expected


def test_older_compressed_tensors_have_another_key() -> None:
    assert quantization({"compression_config": {"quant_method": "compressed-tensors"}}).method == "compressed-tensors"
