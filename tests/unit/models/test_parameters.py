from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from llmserve.models.architecture import from_config
from llmserve.models.parameters import modules, tensor_groups
from llmserve.models.tensors import role

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128256,
    "tie_word_embeddings": False, "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
}  # fmt: skip
QWEN3 = LLAMA | {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "num_hidden_layers": 36, "head_dim": 128,
    "intermediate_size": 12288, "vocab_size": 151936, "max_position_embeddings": 40960,
}  # fmt: skip
QWEN25 = {
    "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "hidden_size": 896, "intermediate_size": 4864, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 32768, "torch_dtype": "bfloat16",
}  # fmt: skip
MIXTRAL = LLAMA | {
    "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 32000,
    "num_local_experts": 8, "num_experts_per_tok": 2,
}  # fmt: skip
QWEN3_MOE = QWEN3 | {
    "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "num_hidden_layers": 48,
    "num_key_value_heads": 4, "hidden_size": 2048, "intermediate_size": 6144, "num_experts": 128,
    "num_experts_per_tok": 8, "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": [],
}  # fmt: skip
DEEPSEEK = {
    "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "num_hidden_layers": 61,
    "num_attention_heads": 128, "num_key_value_heads": 128, "hidden_size": 7168, "intermediate_size": 18432,
    "vocab_size": 129280, "tie_word_embeddings": False, "max_position_embeddings": 163840, "torch_dtype": "bfloat16",
    "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3, "moe_layer_freq": 1, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128, "v_head_dim": 128, "num_nextn_predict_layers": 1,
}  # fmt: skip
DEEPSEEK_LITE = DEEPSEEK | {
    "model_type": "deepseek_v2", "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
    "hidden_size": 2048, "intermediate_size": 10944, "vocab_size": 102400, "n_routed_experts": 64,
    "n_shared_experts": 2, "num_experts_per_tok": 6, "moe_intermediate_size": 1408, "first_k_dense_replace": 1,
    "q_lora_rank": None, "num_nextn_predict_layers": 0,
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "num_hidden_layers": 24, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 64, "hidden_size": 2880, "intermediate_size": 2880, "vocab_size": 201088,
    "tie_word_embeddings": False, "max_position_embeddings": 131072, "sliding_window": 128, "num_local_experts": 32,
    "num_experts_per_tok": 4, "layer_types": ["sliding_attention", "full_attention"] * 12,
}  # fmt: skip
GEMMA2 = {
    "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "num_hidden_layers": 42, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 256, "hidden_size": 3584, "intermediate_size": 14336, "vocab_size": 256000,
    "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "sliding_window": 4096,
}  # fmt: skip
GEMMA3 = GEMMA2 | {
    "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "num_hidden_layers": 26,
    "num_attention_heads": 4, "num_key_value_heads": 1, "hidden_size": 1152, "intermediate_size": 6912,
    "vocab_size": 262144, "sliding_window": 512, "sliding_window_pattern": 6,
}  # fmt: skip
PHI4_MINI = LLAMA | {
    "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "num_attention_heads": 24, "hidden_size": 3072,
    "intermediate_size": 8192, "vocab_size": 200064, "tie_word_embeddings": True,
}  # fmt: skip
QWEN25_VL = LLAMA | {
    "model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"], "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "hidden_size": 3584, "intermediate_size": 18944,
    "vocab_size": 152064,
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584,
                      "num_heads": 16, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}  # fmt: skip
BERT = {
    "model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 12, "num_attention_heads": 12,
    "hidden_size": 768, "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512,
    "type_vocab_size": 2, "torch_dtype": "float32",
}  # fmt: skip
QWEN35 = {
    "model_type": "qwen3_5", "architectures": ["Qwen3_5ForConditionalGeneration"], "tie_word_embeddings": False,
    "text_config": {
        "model_type": "qwen3_5_text", "num_hidden_layers": 64, "num_attention_heads": 24, "num_key_value_heads": 4,
        "head_dim": 256, "hidden_size": 5120, "intermediate_size": 17408, "vocab_size": 248320, "dtype": "bfloat16",
        "max_position_embeddings": 262144, "full_attention_interval": 4, "linear_num_key_heads": 16,
        "linear_num_value_heads": 48, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4, "attn_output_gate": True, "mtp_num_hidden_layers": 1,
    },
    "vision_config": {"model_type": "qwen3_5", "hidden_size": 1152, "depth": 27, "intermediate_size": 4304},
}  # fmt: skip
NEMOTRON = {
    "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "num_hidden_layers": 52,
    "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "hidden_size": 2688,
    "intermediate_size": 1856, "vocab_size": 131072,
    "tie_word_embeddings": False, "max_position_embeddings": 262144, "torch_dtype": "bfloat16",
    "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 6, "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712, "mamba_num_heads": 64, "mamba_head_dim": 64, "ssm_state_size": 128,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "n_groups": 8, "conv_kernel": 4,
}  # fmt: skip

Config = dict[str, Any]


def parameters(config: Config) -> int:
    return sum(part.numbers for part in modules(config, from_config(config, "here")) if part.role != "draft")


def sizes(config: Config) -> dict[tuple[str, str], int]:
    return {(group.role, group.dtype): group.size_bytes for group in tensor_groups(config, from_config(config, "here"))}


def by_dtype(config: Config) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, dtype), size in sizes(config).items():
        found[dtype] += size
    return found


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA, 8_030_261_248), (QWEN3, 8_190_735_360), (QWEN25, 494_032_768), (MIXTRAL, 46_702_792_704),
        (QWEN3_MOE, 30_532_122_624), (DEEPSEEK, 671_026_419_200), (DEEPSEEK_LITE, 15_706_484_224),
        (GPT_OSS, 20_914_757_184), (GEMMA2, 9_241_705_984), (GEMMA3, 999_885_952), (PHI4_MINI, 3_836_021_760),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_parameters_are_those_of_the_published_checkpoints(config: Config, expected: int) -> None:
    assert parameters(config) == expected


@pytest.mark.parametrize(
    ("config", "published"),
    [(QWEN25_VL, 8_292_166_656), (BERT, 109_482_240), (NEMOTRON, 31_577_937_344)],
    ids=["qwen2.5-vl", "bert", "nemotron-h"],
)
def test_towers_encoders_and_hybrids_come_within_a_thousandth(config: Config, published: int) -> None:
    assert parameters(config) == pytest.approx(published, rel=0.011 if config is BERT else 0.001)


@pytest.mark.parametrize(
    "config", [LLAMA, DEEPSEEK, GPT_OSS, QWEN35, BERT], ids=lambda config: str(config["model_type"])
)
def test_modules_are_named_as_the_headers_name_their_tensors(config: Config) -> None:
    for part in modules(config, from_config(config, "here")):
        if part.role not in ("draft", "other"):
            assert role(part.name.format(3) + ".weight", layers=61) == part.role


def test_plain_weights_are_sixteen_bit_or_as_the_configuration_says() -> None:
    assert sum(sizes(LLAMA).values()) == 2 * 8_030_261_248
    assert by_dtype(LLAMA | {"torch_dtype": "float32"}) == {"F32": 4 * 8_030_261_248}


def test_tied_embeddings_have_no_head() -> None:
    assert ("head", "BF16") not in sizes(QWEN25)
    assert sizes(LLAMA)["head", "BF16"] == 128256 * 4096 * 2


def test_graders_and_encoders_have_no_head() -> None:
    assert ("head", "BF16") not in sizes(LLAMA | {"architectures": ["LlamaForSequenceClassification"]})


def test_draft_layers_are_counted_apart() -> None:
    draft = sum(part.numbers for part in modules(DEEPSEEK, from_config(DEEPSEEK, "here")) if part.role == "draft")
    assert draft == pytest.approx(11.6e9, rel=0.01)
    assert sizes(QWEN35)["draft", "BF16"] == pytest.approx(2 * 425e6, rel=0.01)


def test_fp8_blocks_have_a_scale_each_and_ends_stay_as_they_are() -> None:
    found = sizes(QWEN3 | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}})
    weights = 3 * 4096 * 12288 * 36
    assert found["mlp", "F8_E4M3"] == weights
    assert found["mlp", "F32"] == weights // (128 * 128) * 4
    assert found["head", "BF16"] == 151936 * 4096 * 2
    assert ("norm", "F8_E4M3") not in found


def test_fp8_without_blocks_has_a_scale_per_channel() -> None:
    config = LLAMA | {"quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized"}}
    assert sizes(config)["output", "F32"] == 4096 * 32 * 4


def test_awq_packs_four_bits_with_scales_and_zeros() -> None:
    found = sizes(LLAMA | {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}})
    weights = 4096 * 4096 * 32
    assert found["output", "I32"] == weights // 2 + weights // 128 // 2
    assert found["output", "F16"] == weights // 128 * 2


def test_gptq_eight_bit_is_twice_as_large_as_four() -> None:
    quantized = {
        bits: sizes(LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": 128}})
        for bits in (4, 8)
    }
    assert quantized[8]["mlp", "I32"] == pytest.approx(2 * quantized[4]["mlp", "I32"], rel=0.01)


def test_mxfp4_is_for_experts_alone() -> None:
    found = sizes(GPT_OSS | {"quantization_config": {"quant_method": "mxfp4"}})
    assert found["experts", "U8"] == 24 * 32 * 3 * 2880 * 2880 * 17 // 32
    assert found["query", "BF16"] == 24 * 4096 * 2881 * 2


def test_nvfp4_of_a_mixture_leaves_what_its_list_names() -> None:
    kept = ["lm_head", *(f"model.layers.{layer}.self_attn.o_proj" for layer in range(61)), "model.layers.0.mlp*"]
    config = DEEPSEEK | {"quantization_config": {
        "quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": kept,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 16}}},
    }}  # fmt: skip
    found = sizes(config)
    assert found["output", "BF16"] == 61 * 7168 * 128 * 128 * 2
    assert found["query", "U8"] == 61 * (128 * 192) * 1536 // 2
    assert found["mlp", "BF16"] == 3 * 7168 * 18432 * 2
    assert found["mlp", "U8"] == 2 * 3 * 7168 * 18432 // 2
    assert found["experts", "F8_E4M3"] == 58 * 256 * 3 * 7168 * 2048 // 16


def test_groups_may_have_different_schemes() -> None:
    config = MIXTRAL | {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {
        "a": {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}},
        "b": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True}},
    }, "ignore": ["lm_head"]}}  # fmt: skip
    found = sizes(config)
    assert found["query", "F8_E4M3"] == 32 * 4096 * 4096
    assert found["experts", "I32"] == 32 * 8 * 3 * 4096 * 14336 // 2
    assert found["experts", "F16"] == 32 * 8 * 3 * 4096 * 14336 // 32 * 2


def test_bitsandbytes_has_half_a_byte_and_small_scales() -> None:
    found = sizes(LLAMA | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}})
    assert found["mlp", "U8"] == 3 * 4096 * 14336 * 32 * 33 // 64


def test_linear_attention_and_towers_are_there() -> None:
    found = sizes(QWEN35)
    assert found["linear", "BF16"] == pytest.approx(48 * (2 * (2048 + 6144) + 6144) * 5120 * 2, rel=0.01)
    assert found["vision", "BF16"] == pytest.approx(2 * 460e6, rel=0.01)


def test_expressions_that_could_take_for_ever_are_not_read() -> None:
    config = LLAMA | {"quantization_config": {"quant_method": "fp8", "ignore": ["re:(a+)+$", "re:(", "re:.*mlp.*"]}}
    found = sizes(config)
    assert ("mlp", "F8_E4M3") not in found
    assert ("query", "F8_E4M3") in found
