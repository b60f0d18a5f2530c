"""What whole answers of chat look like, for the checks that judge all of a run; see :mod:`llmserve.probe.shape`."""

from __future__ import annotations

from llmserve.probe.shape import Shape

__all__ = ["CHAT", "CHUNK", "COUNTS", "FINISHES", "LOGPROB", "USAGE"]

FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS: Shape = (
    "null",
    {"cached_tokens?": ("count", "null"), "reasoning_tokens?": ("count", "null"), "audio_tokens?": ("count", "null")},
)
USAGE: Shape = {
    **dict.fromkeys(COUNTS, "count"), "prompt_tokens_details?": _DETAILS, "completion_tokens_details?": _DETAILS,
}  # fmt: skip
_BYTES: Shape = (["count"], "null")
LOGPROB: Shape = {
    "token": "string", "logprob": "number", "bytes?": _BYTES,
    "top_logprobs": [{"token": "string", "logprob": "number", "bytes?": _BYTES}],
}  # fmt: skip
_LOGPROBS: Shape = ("null", {"content": ("null", [LOGPROB])})
_CALL: Shape = {
    "id": "text", "type": frozenset({"function", "custom"}), "function?": {"name": "text", "arguments": "string"},
}  # fmt: skip
CHAT: Shape = {
    "id": "text", "object": frozenset({"chat.completion"}), "created": "count", "model": "text",
    "choices": [{
        "index": "count", "finish_reason": FINISHES, "logprobs?": _LOGPROBS,
        "message": {
            "role": frozenset({"assistant"}), "content?": ("string", "null"), "refusal?": ("string", "null"),
            "tool_calls?": ("null", [_CALL]),
        },
    }],
    "usage": USAGE,
}  # fmt: skip
CHUNK: Shape = {
    "id": "text", "object": frozenset({"chat.completion.chunk"}), "created": "count", "model": "text",
    "choices": [{
        "index": "count", "finish_reason?": (FINISHES, "null"), "logprobs?": _LOGPROBS,
        "delta": {
            "role?": (frozenset({"assistant"}), "null"), "content?": ("string", "null"),
            "refusal?": ("string", "null"), "tool_calls?": ("null", [{"index": "count"}]),
        },
    }],
    "usage?": ("null", USAGE),
}  # fmt: skip
