"""What was said: questions and all that followed each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmserve.endpoint.types import Message

__all__ = ["Turn", "text_of"]


@dataclass(kw_only=True)
class Turn:
    """One question and what came of it: the answer, or calls of tools, their results, and then the answer.

    ``reasoning`` is kept for the user and never sent back; ``cut`` says that the answer is not whole.
    """

    question: Message
    replies: list[Message] = field(default_factory=list)
    reasoning: str = ""
    cut: bool = False
    model: str = ""

    @property
    def messages(self) -> list[Message]:
        return [self.question, *self.replies]

    @property
    def answer(self) -> str:
        """The last thing that the model said."""
        said = (text_of(message) for message in reversed(self.replies) if message.get("role") == "assistant")
        return next((text for text in said if text), "")

    def as_json(self) -> dict[str, Any]:
        return {
            "question": self.question, "replies": self.replies, "reasoning": self.reasoning, "cut": self.cut,
            "model": self.model,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Turn:
        """Raises KeyError, TypeError or ValueError where ``data`` is no turn."""
        question, replies = data["question"], data.get("replies", [])
        if not all(
            isinstance(message, dict) and isinstance(message.get("role"), str) for message in (question, *replies)
        ):
            raise ValueError("messages need a role")
        return cls(
            question=question, replies=list(replies), reasoning=str(data.get("reasoning", "")),
            cut=bool(data.get("cut")), model=str(data.get("model", "")),
        )  # fmt: skip


def text_of(message: Message) -> str:
    """The text of a message whose content is a string or a list of parts; ``[image]`` for what is none."""
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") if part.get("type") == "text" else f"[{part.get('type', 'part')}]"
                 for part in content if isinstance(part, dict))  # fmt: skip
        return "\n".join(str(part) for part in parts if part)
    return content if isinstance(content, str) else ""
