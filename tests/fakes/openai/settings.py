"""What this server serves: its models, its context, its key, and whether its model thinks aloud."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.openai.answer import Json, RefusalError
from tests.fakes.openai.outputs import Output
from tests.fakes.openai.tokens import decode, encode

__all__ = ["Settings"]

_THOUGHTS = " first look at what they want then think it through"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``key`` None is an open server. ``reasoning`` names the field of thoughts; None is a model that has none."""

    chat_model: str = "fake-chat"
    embedding_model: str = "fake-embedding"
    others: tuple[str, ...] = ()
    key: str | None = "sk-fake-0123456789abcdef"
    context: int = 32768
    reasoning: str = ""
    width: int = 48

    def now(self) -> int:
        return int(time.time())

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(name for name in (self.chat_model, self.embedding_model, *self.others) if name)

    def known(self, model: Any) -> None:
        if model not in self.models:
            message = f"The model '{model}' does not exist or you do not have access to it."
            raise RefusalError(404, message, code="model_not_found", param="model")

    def chat(self, model: Any) -> None:
        self.known(model)
        if model == self.embedding_model:
            message = "This is not a chat model and thus not supported in the v1/chat/completions endpoint."
            raise RefusalError(404, message, param="model")

    def embeds(self, model: Any) -> None:
        self.known(model)
        if model != self.embedding_model:
            raise RefusalError(
                404, f"The model '{model}' does not support embeddings.", code="model_not_found", param="model"
            )

    def fit(self, prompt: tuple[int, ...]) -> None:
        if len(prompt) > self.context:
            message = (
                f"This model's maximum context length is {self.context} tokens. "
                f"However, your messages resulted in {len(prompt)} tokens."
            )
            raise RefusalError(400, message, code="context_length_exceeded", param="messages")

    def thoughts(self, body: Json, prompt: tuple[int, ...]) -> str:
        return "" if not self.reasoning or body.get("reasoning_effort") == "none" else _THOUGHTS

    def thinking(self, output: Output, thoughts: str, limit: int | None) -> Output:
        """``output`` with its thoughts, which come first and count too."""
        if not thoughts:
            return output
        tokens = encode(thoughts)
        kept = tokens if limit is None else tokens[:limit]
        cut = output if len(kept) == len(tokens) else Output(finish="length")
        return replace(cut, thoughts=decode(kept), thinking=len(kept), count=cut.count + len(kept))
