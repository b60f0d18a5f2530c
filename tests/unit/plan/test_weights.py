from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from llmserve.models.architecture import from_config
from llmserve.models.model import Model, Source
from llmserve.models.parameters import tensor_groups
from llmserve.models.tensors import TensorGroup
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import allocator
from llmserve.plan.sglang.mxfp4 import growth
from llmserve.plan.sglang.shares import share
from llmserve.plan.sglang.weights import on_device, tensor_bytes
from tests.unit.models.test_parameters import DEEPSEEK, GPT_OSS, LLAMA, QWEN3, QWEN3_MOE, QWEN25, QWEN25_VL, QWEN35

GiB = 1 << 30
MiB = 1 << 20
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
QWEN3_14B = QWEN3 | {
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "hidden_size": 5120,
    "intermediate_size": 17408,
}
QWEN3_32B = QWEN3_14B | {"num_hidden_layers": 64, "num_attention_heads": 64, "intermediate_size": 25600}
GTE = QWEN25 | {
    "num_hidden_layers": 28, "num_attention_heads": 12, "hidden_size": 1536, "intermediate_size": 8960,
    "tie_word_embeddings": False, "max_position_embeddings": 131072, "torch_dtype": "float32",
}  # fmt: skip


def model(config: dict[str, Any], **changes: Any) -> Model:
    shape = from_config(config, "here")
    groups = tensor_groups(config, shape)
    described = Model(
        ref="x", name="x", source=Source(format="safetensors", path="/x"), architecture=shape.name, layers=shape.layers,
        heads=shape.heads, kv_heads=shape.kv_heads, head_dim=shape.head_dim, hidden_size=shape.hidden_size,
        vocab_size=shape.vocab_size, context_length=shape.context_length, dtype=shape.dtype,
        weight_bytes=sum(group.size_bytes for group in groups), quantization=shape.quantization, basis="config",
        model_type=shape.model_type, cache=shape.cache, tensors=groups, experts=shape.experts, vision=shape.vision,
        tied_embeddings=shape.tied_embeddings, mtp_layers=shape.mtp_layers, weight_block=shape.weight_block,
    )  # fmt: skip
    return replace(described, **changes)


def gib(config: dict[str, Any], tp: int = 1, **more: Any) -> float:
    return on_device(model(config), Arrangement(tensor_parallel=tp), **more).size_bytes / GiB


@pytest.mark.parametrize(
    ("config", "tp", "logged"),
    [
        (QWEN3_14B, 4, 7.08), (QWEN3_32B, 2, 30.60), (QWEN3_MOE | {"quantization_config": FP8}, 1, 29.15),
        (QWEN3_MOE, 1, 56.98), (QWEN25, 1, 0.98), (LLAMA, 1, 15.06), (QWEN25_VL, 1, 15.80), (GTE, 1, 3.51),
        (DEEPSEEK | {"quantization_config": NVFP4}, 4, 94.51), (QWEN35 | {"quantization_config": FP8}, 1, 28.47),
    ],
    ids=["qwen3-14b", "qwen3-32b", "qwen3-moe-fp8", "qwen3-moe", "qwen2.5", "llama", "qwen2.5-vl", "gte-float32",
         "deepseek-nvfp4", "qwen3.5-fp8"],
)  # fmt: skip
def test_recorded_starts_took_what_is_predicted(config: dict[str, Any], tp: int, logged: float) -> None:
    assert gib(config, tp) == pytest.approx(logged, rel=0.01)


@pytest.mark.parametrize(("layers", "experts", "logged"), [(24, 32, 13.47), (36, 128, 64.38)])
def test_experts_in_mxfp4_grow_as_recorded(layers: int, experts: int, logged: float) -> None:
    config = GPT_OSS | {
        "num_hidden_layers": layers, "num_local_experts": experts, "layer_types": ["full_attention"] * layers,
        "quantization_config": {"quant_method": "mxfp4"},
    }  # fmt: skip
    assert tensor_bytes(model(config), Arrangement(), arch="sm_90") / GiB == pytest.approx(logged, rel=0.005)


def test_kernels_pad_mxfp4_differently() -> None:
    alone = Arrangement()
    assert growth(2880, 2880, alone, "sm_80") == 1
    assert 1.05 < growth(2880, 2880, alone, "sm_90") < 1.07
    assert growth(2880, 2880, alone, "sm_100") == pytest.approx(3072 * 2944 / 2880**2)
    assert growth(2880, 2880, alone, "") == growth(2880, 2880, alone, "sm_90")
    assert growth(4096, 4096, Arrangement(tensor_parallel=8, expert_parallel=8), "sm_80") == 1


def test_more_gpus_than_key_heads_hold_the_same_heads() -> None:
    llama = replace(model(LLAMA), context_length=0)
    eight, sixteen = (tensor_bytes(llama, Arrangement(tensor_parallel=tp)) for tp in (8, 16))
    keys = next(group.size_bytes for group in llama.tensors if group.role == "key_value")
    assert sixteen - eight / 2 == pytest.approx(keys / 16, rel=0.05)


def test_fused_projections_hold_keys_too() -> None:
    plain = model(LLAMA)
    joined = sum(group.size_bytes for group in plain.tensors if group.role in ("query", "key_value"))
    others = tuple(group for group in plain.tensors if group.role not in ("query", "key_value"))
    fused = replace(plain, tensors=(TensorGroup(role="query", dtype="BF16", size_bytes=joined), *others))
    for tp in (1, 8, 16):
        assert tensor_bytes(fused, Arrangement(tensor_parallel=tp)) == pytest.approx(
            tensor_bytes(plain, Arrangement(tensor_parallel=tp)), rel=1e-4
        )


def test_a_vocabulary_is_padded_until_it_can_be_divided() -> None:
    odd = model(LLAMA | {"vocab_size": 128257, "num_hidden_layers": 1})
    even = model(LLAMA | {"vocab_size": 128320, "num_hidden_layers": 1})
    assert tensor_bytes(odd, Arrangement()) == tensor_bytes(even, Arrangement())
    assert tensor_bytes(odd, Arrangement(tensor_parallel=8)) > tensor_bytes(even, Arrangement()) / 8


def test_a_tied_head_is_loaded_again_on_another_stage() -> None:
    tied = model(QWEN25)
    table = 151936 * 896 * 2
    alone, halves = (tensor_bytes(tied, Arrangement(pipeline_parallel=pp)) for pp in (1, 2))
    assert halves == pytest.approx((alone - table) / 2 + table, rel=0.02)


def test_the_last_stages_have_the_layers_that_are_left_over() -> None:
    uneven = model(LLAMA | {"num_hidden_layers": 33})
    layers = (tensor_bytes(uneven, Arrangement()) - 2 * 128256 * 4096 * 2) / 33
    last = tensor_bytes(uneven, Arrangement(pipeline_parallel=2))
    assert last == pytest.approx(17 * layers + 128256 * 4096 * 2, rel=0.01)


def test_attention_groups_hold_all_of_attention() -> None:
    deepseek = model(DEEPSEEK | {"quantization_config": FP8})
    divided = on_device(deepseek, Arrangement(tensor_parallel=8)).size_bytes / GiB
    grouped = on_device(deepseek, Arrangement(tensor_parallel=8, attention_data_parallel=8)).size_bytes / GiB
    assert 79 < divided < 80.5
    assert grouped - divided == pytest.approx(11, abs=1.5)


def test_latent_attention_holds_its_up_projection_twice() -> None:
    whole = tensor_bytes(model(DEEPSEEK), Arrangement())
    checkpoint = sum(group.size_bytes for group in model(DEEPSEEK).tensors if group.role != "draft")
    assert whole - checkpoint == pytest.approx(61 * 128 * 256 * 512 * 2 + 163840 * 64 * 4, rel=0.001)


def test_draft_layers_are_loaded_only_when_they_are_used() -> None:
    config = DEEPSEEK | {"quantization_config": FP8}
    assert gib(config, 8, draft=True) - gib(config, 8) == pytest.approx(11.6 / 8 * 0.931, abs=0.2)
    assert gib(LLAMA, draft=True) == gib(LLAMA)


def test_ends_that_a_draft_layer_repeats_are_shared() -> None:
    drafted = model(DEEPSEEK | {"quantization_config": FP8})
    ends = 2 * 129280 * 7168 * 2
    repeated = tuple(
        replace(group, size_bytes=group.size_bytes + ends) if (group.role, group.dtype) == ("draft", "BF16") else group
        for group in drafted.tensors
    )
    headers = replace(drafted, tensors=repeated, basis="headers")
    arrangement = Arrangement(tensor_parallel=8)
    assert tensor_bytes(headers, arrangement, draft=True) == tensor_bytes(drafted, arrangement, draft=True)


def test_single_precision_is_held_in_sixteen_bits_but_scales_are_not() -> None:
    assert gib(LLAMA | {"torch_dtype": "float32"}) == pytest.approx(gib(LLAMA), rel=0.001)
    fp8 = model(QWEN3 | {"quantization_config": FP8})
    assert tensor_bytes(fp8, Arrangement()) > sum(group.size_bytes for group in fp8.tensors)


def test_a_model_without_tensors_is_as_large_as_its_recipe_says() -> None:
    recipe = model(LLAMA, tensors=(), basis="recipe", weight_bytes=16 * GiB)
    assert on_device(recipe, Arrangement(tensor_parallel=2)).size_bytes == pytest.approx(8 * GiB, rel=0.02)
    assert "recipe" in on_device(recipe, Arrangement()).basis


@pytest.mark.parametrize(
    "config", [LLAMA, QWEN3_MOE, DEEPSEEK, QWEN35, GPT_OSS], ids=lambda config: config["model_type"]
)
def test_more_gpus_never_hold_more(config: dict[str, Any]) -> None:
    described = model(config)
    held = [on_device(described, Arrangement(tensor_parallel=tp)).size_bytes for tp in (1, 2, 4, 8)]
    assert held == sorted(held, reverse=True)
    for tp, pp in product((1, 2, 4), (1, 2, 4)):
        arrangement = Arrangement(tensor_parallel=tp, pipeline_parallel=pp)
        total = sum(group.size_bytes for group in described.tensors if group.role != "draft")
        assert on_device(described, arrangement).size_bytes * tp * pp >= total


def test_the_allocator_takes_whole_pieces_and_reuses_what_is_left() -> None:
    assert allocator.reserved([]) == 0
    assert allocator.reserved([100, 100]) == 2 * MiB
    assert allocator.reserved([259 * MiB]) == 260 * MiB
    assert allocator.reserved([6 * MiB] * 3) == 20 * MiB
    assert allocator.reserved([6 * MiB] * 4) == 40 * MiB
    assert allocator.reserved([int(24.5 * MiB), int(1.25 * MiB)]) == 26 * MiB


INTERN = {
    "model_type": "internvl_chat", "architectures": ["InternVLChatModel"], "llm_config": QWEN25,
    "vision_config": {"num_hidden_layers": 45, "hidden_size": 3200, "intermediate_size": 12800,
                      "num_attention_heads": 25},
}  # fmt: skip


def share_of(config: dict[str, Any], role: str, tensor_parallel: int) -> float:
    served = model(config)
    group = next(group for group in served.tensors if group.role == role)
    return share(served, group, Arrangement(tensor_parallel=tensor_parallel), "sm_90")


def test_heads_of_an_encoder_that_cannot_be_dealt_out_are_filled_up() -> None:
    assert share_of(INTERN, "vision", tensor_parallel=5) == pytest.approx(1 / 5)
    uneven = share_of(INTERN, "vision", tensor_parallel=8)
    assert 1 / 8 < uneven < 32 / 25 / 8  # attention as if it had 32 heads, the rest in eight parts


def test_a_chat_model_has_a_head() -> None:
    untied = {**INTERN, "llm_config": QWEN25 | {"tie_word_embeddings": False}}
    assert any(group.role == "head" for group in model(untied).tensors)


def test_shared_experts_are_whole_where_tokens_travel() -> None:
    assert share_of(DEEPSEEK, "shared_experts", tensor_parallel=8) == 1 / 8
    whole = Arrangement(tensor_parallel=8, expert_parallel=8, all_to_all=True)
    served = model(DEEPSEEK)
    shared = next(group for group in served.tensors if group.role == "shared_experts")
    routed = next(group for group in served.tensors if group.role == "experts")
    assert share(served, shared, whole, "sm_90") == 1
    assert share(served, routed, whole, "sm_90") == 1 / 8


def test_packed_experts_keep_their_orders_on_rocm_alone() -> None:
    """Two of four bytes for each input of both matrices of every expert."""
    packed = DEEPSEEK | {"quantization_config": {"quant_method": "compressed-tensors"}}
    served, sizes = model(packed), Arrangement(tensor_parallel=8)
    experts, layers = served.experts, served.layers
    assert experts is not None
    more = tensor_bytes(served, sizes, arch="gfx950") - tensor_bytes(served, sizes, arch="sm_90")
    width = 2 * 4 * (served.hidden_size + experts.intermediate_size // 8)
    assert more == experts.routed * width * (layers - experts.dense_layers)


def test_what_goes_while_weights_load_counts_as_weights() -> None:
    """75 MiB of first calls before 0.5; the growth of processes where host and GPU share their memory."""
    old, new = gib(QWEN25, version="0.4.4", arch="sm_90"), gib(QWEN25, version="0.5.23", arch="sm_90")
    assert old - new == pytest.approx(75 / 1024)
    assert gib(QWEN25, arch="sm_121") - new == pytest.approx(205 / 1024)


def test_gemma_4_has_a_table_for_each_kind_of_layer() -> None:
    config = {
        "model_type": "gemma4_text", "architectures": ["Gemma4ForCausalLM"], "num_hidden_layers": 6,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "global_head_dim": 512,
        "hidden_size": 2048, "intermediate_size": 4096, "vocab_size": 1000, "max_position_embeddings": 100_000,
        "sliding_window": 512, "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
        "tie_word_embeddings": True,
    }  # fmt: skip
    short = config | {"max_position_embeddings": 1000}
    assert tensor_bytes(model(config), Arrangement()) - tensor_bytes(model(short), Arrangement()) == (
        99_000 * (256 + 512) * 4
    )
