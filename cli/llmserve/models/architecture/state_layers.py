"""The states of fixed size that Mamba, linear attention and short convolutions keep, from a ``config.json``.

Source: the ``mamba2_cache_params`` of SGLang 0.5.23 (``srt/configs``).
"""

from __future__ import annotations

from llmserve.models.architecture.fields import Fields
from llmserve.models.layers import StateLayers


def state_layers(fields: Fields, layers: int) -> tuple[StateLayers, bool]:
    """The state that ``layers`` layers keep, and whether its figures were said (False: guessed)."""
    for read in (_delta, _kimi, _short_convolution, _jet, _mamba2, _mamba1, _lightning):
        found = read(fields, layers)
        if found is not None:
            return found, True
    return _square(fields, layers, "linear", kernel=4), False


def _delta(fields: Fields, layers: int) -> StateLayers | None:
    """Gated delta net: Qwen3-Next, Qwen3.5."""
    if fields.get("linear_num_value_heads") is None:
        return None
    heads, size = fields.number("linear_num_value_heads"), fields.number("linear_value_head_dim")
    return StateLayers(
        layers=layers,
        kind="gdn",
        inner=heads * size,
        groups=fields.number("linear_num_key_heads"),
        heads=heads,
        head_dim=size,
        state_dim=fields.number("linear_key_head_dim"),
        kernel=fields.number("linear_conv_kernel_dim", default=4),
        dtype=_dtype(fields),
    )


def _kimi(fields: Fields, layers: int) -> StateLayers | None:
    """Kimi delta attention: Kimi Linear and K3, Ling 3, GLM-5-Next."""
    section = fields.section("linear_attn_config")
    if section.values:
        kernel = section.number("short_conv_kernel_size", default=4)
        return _kda(layers, section.number("num_heads"), section.number("head_dim"), kernel)
    if fields.get("linear_num_heads") is not None:
        kernel = fields.number("linear_conv_kernel_dim", default=4)
        return _kda(layers, fields.number("linear_num_heads"), fields.number("linear_head_dim"), kernel)
    if fields.get("short_conv_kernel_size") is not None:
        kernel = fields.number("short_conv_kernel_size")
        return _kda(layers, fields.number("num_attention_heads"), fields.number("head_dim"), kernel)
    return None


def _kda(layers: int, heads: int, size: int, kernel: int) -> StateLayers:
    return StateLayers(
        layers=layers, kind="kda", inner=heads * size, groups=heads, heads=heads, head_dim=size, state_dim=size,
        kernel=kernel,
    )  # fmt: skip


def _short_convolution(fields: Fields, layers: int) -> StateLayers | None:
    """LFM2: the last inputs of a convolution are all that it keeps."""
    if fields.get("conv_L_cache") is None:
        return None
    return StateLayers(
        layers=layers, kind="conv", inner=fields.number("hidden_size"), kernel=fields.number("conv_L_cache")
    )


def _jet(fields: Fields, layers: int) -> StateLayers | None:
    section = fields.section("efficient_attention_config").section("jet")
    if not section.values:
        return None
    heads, size, wider = section.number("num_heads"), section.number("head_dim"), section.get("expand_v")
    values = int(size * wider) if isinstance(wider, (int, float)) and 0 < wider < 100 else size
    return StateLayers(
        layers=layers, kind="gdn", inner=heads * values, groups=heads, heads=heads, head_dim=values, state_dim=size,
        kernel=section.number("conv_size"), dtype=_dtype(fields),
    )  # fmt: skip


def _mamba2(fields: Fields, layers: int) -> StateLayers | None:
    """Nemotron-H, Granite 4, Falcon-H1, Bamba, Zamba 2 and pure Mamba 2 call the same figures differently."""
    pure = fields.get("model_type") == "mamba2"
    names = ("num_heads",) if pure else ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    if fields.get(*names) is None:
        return None
    heads, inner = fields.number(*names), _inner(fields)
    size = inner // heads if pure or inner else fields.number("mamba_head_dim", "mamba_d_head")
    return StateLayers(
        layers=layers,
        kind="mamba2",
        inner=heads * size,
        groups=fields.number("mamba_n_groups", "mamba_ngroups", "n_groups", default=1),
        heads=heads,
        head_dim=size,
        state_dim=fields.number("ssm_state_size", "mamba_d_state", "state_size"),
        kernel=fields.number("mamba_d_conv", "conv_kernel", default=4),
        dtype=_dtype(fields),
    )


def _mamba1(fields: Fields, layers: int) -> StateLayers | None:
    """Jamba, Falcon-Mamba and the first Mamba: one head per channel, and only the channels are convolved."""
    plain = fields.get("ssm_cfg") is not None
    if fields.get("mamba_d_state", "state_size") is None and not plain:
        return None
    inner = _inner(fields) or 2 * fields.number("hidden_size", "d_model")
    return StateLayers(
        layers=layers, kind="mamba1", inner=inner, heads=inner, head_dim=1,
        state_dim=fields.number("mamba_d_state", "state_size", default=16),
        kernel=fields.number("mamba_d_conv", "conv_kernel", default=4),
    )  # fmt: skip


def _inner(fields: Fields) -> int:
    """Channels of the mixer: stated, or a multiple of the hidden size; 0 where neither is said."""
    if fields.get("mamba_d_ssm") is not None:
        return fields.number("mamba_d_ssm")
    if fields.get("mamba_num_heads") is not None and fields.get("mamba_head_dim") is not None:
        return fields.number("mamba_num_heads") * fields.number("mamba_head_dim")
    return fields.count("mamba_expand", "expand") * fields.number("hidden_size", "d_model")


def _lightning(fields: Fields, layers: int) -> StateLayers | None:
    """A plain square state per head, without convolution: MiniCPM-SALA, MiniMax-Text, Ling 2.5."""
    if fields.get("lightning_nkv") is not None:
        size = fields.number("lightning_head_dim", "head_dim")
        return _lightning_state(layers, fields.number("lightning_nkv"), size)
    minimax = str(fields.get("model_type")).startswith("minimax")
    if not minimax and fields.get("attn_type_list", "layer_group_size", "mixer_types") is None:
        return None
    return _square(fields, layers, "lightning", kernel=1)


def _square(fields: Fields, layers: int, kind: str, *, kernel: int) -> StateLayers:
    heads = fields.number("num_attention_heads", "num_heads", "n_heads")
    size = fields.number("head_dim", default=max(1, fields.number("hidden_size", "d_model") // heads))
    inner = heads * size if kernel > 1 else 0
    return StateLayers(layers=layers, kind=kind, inner=inner, heads=heads, head_dim=size, state_dim=size, kernel=kernel)


def _lightning_state(layers: int, heads: int, size: int) -> StateLayers:
    return StateLayers(layers=layers, kind="lightning", heads=heads, head_dim=size, state_dim=size)


def _dtype(fields: Fields) -> str:
    """float32 unless the configuration asks for less."""
    said = fields.get("mamba_ssm_dtype")
    return said if said in ("bfloat16", "float16") else "float32"
