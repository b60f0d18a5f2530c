"""Failure rules as data: a pattern in a log line, and the sentence that it stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmserve.engine.base import Failure


@dataclass(frozen=True)
class Rule:
    """``pattern`` is searched in a line; ``message`` and ``hint`` may use its named groups in braces."""

    code: str
    pattern: str
    message: str
    hint: str
    exit_code: int = 6
    rank: int = 50

    def match(self, line: str) -> Failure | None:
        found = re.search(self.pattern, line)
        if not found:
            return None
        words = {name: value or "" for name, value in found.groupdict().items()}
        return Failure(
            code=self.code,
            message=self.message.format_map(words),
            hint=self.hint.format_map(words),
            exit_code=self.exit_code,
            rank=self.rank,
        )
