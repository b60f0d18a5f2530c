"""Engine settings that the user pins, read by their names and given back as flags."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from llmserve.errors import UsageError

Value = TypeVar("Value")

_SMALLEST = 1e-9
_TRUE, _FALSE = ("", "true", "1", "yes", "on"), ("false", "0", "no", "off")
_OWN_OPTIONS = {"nnodes": "--nodes", "device": "--machine or --engine", "base_gpu_id": "--machine"}

_ALIASES = {
    "tp": "tp_size", "tensor_parallel_size": "tp_size", "pp": "pp_size", "pipeline_parallel_size": "pp_size",
    "dp": "dp_size", "data_parallel_size": "dp_size", "ep": "ep_size", "expert_parallel_size": "ep_size",
    "kv_dtype": "kv_cache_dtype", "context": "context_length", "mem_fraction": "mem_fraction_static",
    "cuda_graph_max_bs": "cuda_graph_max_bs_decode", "attention_data_parallel": "attn_dp_size",
    "swa_ratio": "swa_full_tokens_ratio", "mamba_ratio": "mamba_full_memory_ratio",
}  # fmt: skip

PLANNED = frozenset(
    {
        "tp_size", "pp_size", "dp_size", "ep_size", "attn_dp_size", "kv_cache_dtype", "context_length", "page_size",
        "mem_fraction_static", "max_running_requests", "chunked_prefill_size", "max_total_tokens",
        "swa_full_tokens_ratio", "mamba_full_memory_ratio", "max_mamba_cache_size", "mamba_ssm_dtype",
        "cuda_graph_max_bs_decode", "cuda_graph_backend_prefill", "disable_radix_cache", "speculative_algorithm",
        "speculative_num_draft_tokens", "enable_dp_attention", "quantization", "kt_num_gpu_experts",
    }
)  # fmt: skip
"""Settings whose effect the planner computes; any other one is passed on as it is."""

MEASURED = frozenset({"before_load_gib", "weights_gib", "draft_layers", "draft_cell_bytes", "engine_version"})
"""Not settings of an engine but figures of a known start, to replay it: free memory before the weights load, and the
weights, both in GiB; layers of a draft model, or its bytes per token; the release of the engine."""

_DRAFTING = ("EAGLE", "EAGLE3", "NEXTN", "MTP", "STANDALONE", "FROZEN_KV_MTP")
_DRAFT_TOKENS = 4  # SGLang's choice where a model has layers for it


@dataclass(frozen=True)
class Pins:
    """Pinned settings by their canonical names."""

    values: Mapping[str, str]

    @staticmethod
    def of(fixed: tuple[tuple[str, str], ...]) -> Pins:
        """Raises UsageError when one setting is pinned to two values."""
        values: dict[str, str] = {}
        for given, value in fixed:
            name = given.lstrip("-").replace("-", "_")
            name = _ALIASES.get(name, name)
            if name in _OWN_OPTIONS:
                raise UsageError(f"{name} cannot be fixed.", hint=f"Use llmserve's own {_OWN_OPTIONS[name]}.")
            if values.get(name, value) != value:
                raise UsageError(f"{name} is fixed to both {values[name]} and {value}.", hint="Give it once.")
            values[name] = value
        return Pins(values)

    def whole(self, name: str, default: Value, *, least: int = 1) -> int | Value:
        number = self._number(name, int, f"a whole number from {least} on", least=least)
        return default if number is None else int(number)

    def number(self, name: str, default: Value, *, most: float = math.inf) -> float | Value:
        what = "a number above 0" if most == math.inf else f"a number above 0 and up to {most:g}"
        number = self._number(name, float, what, least=_SMALLEST, most=most)
        return default if number is None else number

    @property
    def replays(self) -> bool:
        """Whether a known start is described: then what is not pinned was left at the engine's default."""
        return "mem_fraction_static" in self.values

    @property
    def drafts(self) -> int:
        """Tokens that a draft model of the target's shape proposes at once; 0 without one."""
        drafting = self.text("speculative_algorithm", "").upper() in _DRAFTING
        return self.whole("speculative_num_draft_tokens", _DRAFT_TOKENS) if drafting else 0

    def text(self, name: str, default: str) -> str:
        return self.values.get(name, default)

    def switch(self, name: str) -> bool:
        """Whether a switch is on: named with no value, or a true one."""
        said = self.values.get(name, "false").lower()
        if said not in (*_TRUE, *_FALSE):
            raise UsageError(f"--fixed {name}={said} is not possible: it must be true or false.", hint="Correct it.")
        return said in _TRUE

    def _number(
        self, name: str, kind: Callable[[str], float], what: str, *, least: float, most: float = math.inf
    ) -> float | None:
        """None where it is not pinned."""
        if name not in self.values:
            return None
        try:
            number = kind(self.values[name])
        except ValueError:
            number = math.nan
        if least <= number <= most and math.isfinite(number):
            return number
        raise UsageError(
            f"--fixed {name}={self.values[name]} is not possible: it must be {what}.", hint="Correct the value."
        )
