from __future__ import annotations

import pytest

from llmserve.models.tensors import Role, role

NAMES: dict[Role, str] = {
    "embedding": """
        model.embed_tokens.weight transformer.wte.weight transformer.wpe.weight backbone.embeddings.weight
        embeddings.word_embeddings.weight tok_embeddings.weight model.language_model.embed_tokens_per_layer.weight
        token_embd.weight per_layer_token_embd.weight embed.weight
    """,
    "head": "lm_head.weight lm_head.qweight score.weight embed_out.weight output.weight head.weight",
    "query": """
        model.layers.0.self_attn.q_proj.weight model.layers.0.self_attn.q_proj.weight_scale_inv
        model.layers.0.self_attn.q_b_proj.weight model.layers.0.self_attn.qkv_proj.qweight
        transformer.h.3.attn.c_attn.weight encoder.layer.3.attention.self.query.weight
        model.layers.3.attention.query_key_value.weight layers.3.attn.wq_b.weight
        language_model.model.layers.3.cross_attn.q_proj.weight backbone.layers.3.mixer.q_proj.weight
        blk.3.attn_q.weight blk.3.attn_qkv.weight model.layers.3.attention.wqkv.weight layers.3.attn.Wqkv.weight
    """,
    "key_value": """
        model.layers.0.self_attn.k_proj.qzeros model.layers.0.self_attn.v_proj.weight.absmax
        model.layers.0.self_attn.kv_b_proj.weight_scale_inv model.layers.0.self_attn.k_proj.k_scale
        encoder.layer.3.attention.self.key.bias blk.3.attn_k.weight blk.3.attn_v_b.weight blk.3.attn_kv_b.weight
    """,
    "output": """
        model.layers.0.self_attn.o_proj.g_idx transformer.h.3.attn.c_proj.weight layers.3.attn.wo_a.weight
        encoder.layer.3.attention.output.dense.weight model.layers.3.self_attention.dense.weight
        blk.3.attn_output.weight model.layers.3.self_attn.out_proj.weight layers.3.attention.wo.weight
    """,
    "latent": """
        model.layers.0.self_attn.q_a_proj.weight model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv
        blk.3.attn_q_a.weight blk.3.attn_kv_a_mqa.weight layers.3.attn.wq_a.weight layers.3.attn.wkv.weight
    """,
    "indexer": """
        model.layers.0.self_attn.indexer.wk.weight model.layers.0.self_attn.indexer.weights_proj.weight
        blk.3.indexer.attn_k.weight layers.3.attn.compressor.wkv.weight layers.3.attn.indexer.compressor.ape
    """,
    "mlp": """
        model.layers.0.mlp.gate_proj.weight model.layers.0.mlp.gate_up_proj.scales
        model.layers.0.feed_forward.w2.weight transformer.h.3.mlp.c_fc.bias transformer.h.3.mlp.c_proj.weight
        encoder.layer.3.intermediate.dense.weight encoder.layer.11.output.dense.weight
        model.layers.3.mlp.dense_h_to_4h.weight blk.3.ffn_gate.weight backbone.layers.3.mixer.up_proj.weight
        layers.3.mlp.Wi.weight model.decoder.layers.3.fc1.weight
    """,
    "experts": """
        model.layers.3.mlp.experts.17.gate_proj.weight_scale_inv model.layers.3.block_sparse_moe.experts.0.w1.weight
        model.layers.3.mlp.experts.gate_up_proj_blocks model.layers.3.mlp.experts.down_proj_scales
        model.layers.3.mlp.experts.gate_up_proj_bias language_model.model.layers.3.feed_forward.experts.down_proj
        backbone.layers.3.mixer.experts.3.up_proj.weight blk.3.ffn_gate_exps.weight layers.3.ffn.experts.3.w1.scale
        model.layers.3.block_sparse_moe.input_linear.weight model.layers.3.experts.gate_up_proj
    """,
    "shared_experts": """
        model.layers.3.mlp.shared_experts.gate_proj.weight model.layers.3.mlp.shared_expert.up_proj.weight
        language_model.model.layers.3.feed_forward.shared_expert.down_proj.weight blk.3.ffn_up_shexp.weight
        model.layers.3.shared_mlp.input_linear.weight backbone.layers.3.mixer.shared_experts.up_proj.weight
    """,
    "router": """
        model.layers.3.mlp.gate.weight model.layers.3.mlp.gate.e_score_correction_bias
        model.layers.3.block_sparse_moe.gate.weight model.layers.3.mlp.router.bias
        model.layers.3.mlp.shared_expert_gate.weight model.layers.3.router.proj.weight blk.3.ffn_gate_inp.weight
        blk.3.exp_probs_b.bias layers.3.ffn.gate.tid2eid
    """,
    "linear": """
        model.layers.3.linear_attn.in_proj_qkvz.weight model.layers.3.linear_attn.A_log
        model.layers.3.linear_attn.conv1d.weight model.layers.3.linear_attn.out_proj.weight
        backbone.layers.3.mixer.in_proj.weight backbone.layers.3.mixer.D backbone.layers.3.mixer.conv1d.bias
        model.layers.3.mamba.out_proj.weight model.layers.3.conv.in_proj.weight
        model.layers.3.self_attn.q_conv1d.weight model.layers.3.self_attn.f_a_proj.weight blk.3.ssm_in.weight
        blk.3.ssm_a blk.3.shortconv.out_proj.weight
    """,
    "vision": """
        model.visual.blocks.26.attn.qkv.weight vision_tower.vision_model.encoder.layers.3.self_attn.q_proj.weight
        vision_model.model.layers.33.mlp.fc1.weight multi_modal_projector.linear_1.weight mm_projector.proj.0.weight
        model.vision_embed_tokens.img_projection.0.weight v.blk.3.attn_q.weight mm.0.weight mlp1.1.weight
        model.vision_tower.encoder.layers.80.self_attn.q_proj.linear.weight model.image_newline
    """,
    "norm": """
        model.norm.weight model.layers.3.input_layernorm.weight model.layers.0.self_attn.q_norm.weight
        model.layers.0.self_attn.kv_a_layernorm.weight transformer.h.3.ln_1.bias
        encoder.layer.3.output.LayerNorm.weight output_norm.weight blk.3.attn_norm.weight
        model.layers.3.linear_attn.norm.weight
    """,
    "draft": """
        model.layers.61.mlp.experts.17.gate_proj.weight model.layers.61.embed_tokens.weight
        model.layers.61.eh_proj.weight mtp.layers.0.mlp.experts.3.up_proj.weight mtp.fc.weight
        model.mtp_layers.0.x.weight blk.61.nextn.eh_proj.weight
    """,
    "other": "rope_freqs.weight model.layers.0.self_attn.sinks pooler.dense.weight layers.3.hc_attn_fn",
}  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()]
)
def test_the_name_says_what_a_tensor_is_for(expected: Role, name: str) -> None:
    assert role(name, layers=61) == expected


def test_layers_beyond_the_last_are_drafts_whatever_they_hold() -> None:
    assert role("model.layers.60.self_attn.q_proj.weight", layers=61) == "query"
    assert role("model.layers.61.self_attn.q_proj.weight", layers=61, mtp_layers=1) == "draft"


def test_a_gguf_file_counts_its_draft_layers_among_the_layers() -> None:
    assert role("blk.45.attn_q.weight", layers=47, mtp_layers=1) == "query"
    assert role("blk.46.attn_q.weight", layers=47, mtp_layers=1) == "draft"


def test_a_vision_tower_may_have_more_layers_than_the_language_model() -> None:
    assert role("visual.blocks.31.attn.qkv.weight", layers=28) == "vision"
