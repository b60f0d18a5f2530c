"""The names that engines have for what :class:`~llmserve.endpoint.metrics.sample.Sample` holds.

SGLang 0.5.23, vLLM 0.6 to 0.32, llama.cpp of October 2026; older spellings come second. A new engine is one more entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ENGINES", "Dialect", "Term", "dialect"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """A value of a page: the first of ``names`` that is there, of series whose label ``key`` begins or ends so."""

    names: tuple[str, ...]
    key: str = ""
    like: str = ""
    times: str = ""
    """A second metric to multiply with."""


Terms = tuple[Term, ...]
"""Summed; absent ones count nothing, unless all are absent."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One engine's names. ``copies`` are labels of processes that tell the same: of these the largest value counts."""

    name: str
    prefix: str
    running: Terms
    queued: Terms
    kv_usage: Terms
    counters: dict[str, Terms]
    histograms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    copies: tuple[str, ...] = ()


def _one(*names: str, key: str = "", like: str = "", times: str = "") -> Terms:
    return (Term(names=names, key=key, like=like, times=times),)


Latency = Literal["ttft", "itl", "tpot", "e2e", "queue"]

_SGLANG = Dialect(
    name="sglang",
    prefix="sglang:",
    running=_one("sglang:num_running_reqs"),
    queued=_one("sglang:num_queue_reqs"),
    kv_usage=_one("sglang:token_usage"),
    counters={
        "requests": _one("sglang:num_requests_total"),
        "prompt_tokens": _one("sglang:prompt_tokens_total"),
        "generation_tokens": _one("sglang:generation_tokens_total"),
        "prompt_work": (
            *_one("sglang:realtime_tokens_total", key="mode", like="prefill_compute"),
            *_one("sglang:realtime_tokens_total", key="mode", like="prefill_cache"),
        ),
        "generation_work": _one("sglang:realtime_tokens_total", key="mode", like="decode"),
        "cache_hits": _one("sglang:prefill_effective_tokens_total", key="mode", like="*_hit"),
        "cache_queries": _one("sglang:prefill_effective_tokens_total"),
        "preemptions": _one("sglang:num_retracted_requests_total"),
    },
    histograms={
        "ttft": ("sglang:time_to_first_token_seconds",),
        "itl": ("sglang:inter_token_latency_seconds",),
        "tpot": ("sglang:request_time_per_output_token_seconds",),
        "e2e": ("sglang:e2e_request_latency_seconds",),
        "queue": ("sglang:queue_time_seconds",),
    },
    copies=("tp_rank", "pp_rank", "moe_ep_rank", "pid"),
)

_VLLM = Dialect(
    name="vllm",
    prefix="vllm:",
    running=_one("vllm:num_requests_running"),
    queued=_one("vllm:num_requests_waiting"),
    kv_usage=_one("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    counters={
        "requests": _one("vllm:request_success_total"),
        "prompt_tokens": _one("vllm:prompt_tokens_total"),
        "generation_tokens": _one("vllm:generation_tokens_total"),
        "prompt_work": _one("vllm:prompt_tokens_total"),
        "generation_work": _one("vllm:generation_tokens_total"),
        "cache_hits": _one("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        "cache_queries": _one("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        "preemptions": _one("vllm:num_preemptions_total"),
    },
    histograms={
        "ttft": ("vllm:time_to_first_token_seconds",),
        "itl": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
        "tpot": ("vllm:request_time_per_output_token_seconds",),
        "e2e": ("vllm:e2e_request_latency_seconds",),
        "queue": ("vllm:request_queue_time_seconds",),
    },
)

_LLAMACPP = Dialect(
    name="llamacpp",
    prefix="llamacpp:",
    running=_one("llamacpp:requests_processing"),
    queued=_one("llamacpp:requests_deferred"),
    kv_usage=_one("llamacpp:kv_cache_usage_ratio"),
    counters={
        "prompt_tokens": (*_one("llamacpp:prompt_tokens_total"), *_one("llamacpp:prompt_tokens_cached_total")),
        "generation_tokens": _one("llamacpp:tokens_predicted_total"),
        "prompt_work": (*_one("llamacpp:prompt_tokens_total"), *_one("llamacpp:prompt_tokens_cached_total")),
        # a decoding step makes one token for each busy slot, the first one at the end of its prompt
        "generation_work": _one("llamacpp:n_decode_total", times="llamacpp:n_busy_slots_per_decode"),
        "cache_hits": _one("llamacpp:prompt_tokens_cached_total"),
        "cache_queries": (*_one("llamacpp:prompt_tokens_total"), *_one("llamacpp:prompt_tokens_cached_total")),
        "decode_seconds": _one("llamacpp:tokens_predicted_seconds_total"),
        "decode_tokens": _one("llamacpp:tokens_predicted_total"),
    },
)

ENGINES: tuple[Dialect, ...] = (_SGLANG, _VLLM, _LLAMACPP)


def dialect(name: str) -> Dialect:
    """The names of one engine. Raises KeyError for an engine that is not listed."""
    return {one.name: one for one in ENGINES}[name]
