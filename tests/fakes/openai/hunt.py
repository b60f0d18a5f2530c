"""Runs the probe against the fake, and says what a deviation made fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import Check
from llmserve.probe.runner import Outcome, run
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings as ProbeSettings
from tests.fakes.openai.deviation import Deviation
from tests.fakes.openai.server import FakeOpenAI
from tests.fakes.openai.settings import Settings

__all__ = ["AFTER", "BAD", "NEVER", "TIMED", "Hunt", "bad", "hunt", "outcomes"]

BAD = ("fail", "ignored")
TIMED = ("transport.disconnect", "stream.closes")
"""Checks whose verdict depends on the clock: on a busy machine they fail without a cause, so nothing is made of it."""
NEVER = ("tools.custom", "vision.audio", "vision.file")
"""What this fake refuses as models of OpenAI's do; beside these, only the area of other endpoints is unsupported."""

LOOKING_BACK = ("error.server", "error.envelope.everywhere", "error.status.class", "transport.framing")
"""Checks that judge all answers of a run, whatever they were to."""
_CHAT = ("parameters", "messages", "streaming", "tools", "tools-streamed", "structured", "reasoning", "vision")
AFTER: dict[str, tuple[str, ...]] = {
    "transport": ("errors", "other", "auth"),
    "auth": ("models", "errors"),
    "models": ("chat", "errors", "auth", "transport", "embeddings", "completions", "responses", *_CHAT),
    "errors": ("transport", "auth", "models", "embeddings", "completions", "responses", "other", "cors", *_CHAT),
    "chat": _CHAT,
    "parameters": ("chat", "errors", *_CHAT),
    "messages": ("chat", *_CHAT),
    "streaming": ("chat", *_CHAT),
    "tools": ("tools-streamed", "errors", "messages", "structured"),
    "tools-streamed": ("tools",),
    "structured": ("tools", "errors", "parameters"),
    "reasoning": ("chat", *_CHAT),
    "vision": ("messages", "errors"),
    "completions": ("errors",),
    "embeddings": ("errors",),
    "responses": ("errors",),
    "other": (),
    "cors": (),
}
"""Areas that read the same bytes, or send requests of the same kind: what may fail after a deviation in an area."""


@dataclass(frozen=True)
class Hunt:
    """``found`` are the checks of the areas that must find it, ``strange`` those whose failure nothing explains.

    A feature that OpenAI has and that is refused here is found by the verdict ``unsupported``.
    """

    deviation: Deviation
    failed: tuple[Outcome, ...]
    refused: tuple[Outcome, ...] = ()

    @property
    def found(self) -> list[Outcome]:
        return [one for one in (*self.failed, *self.refused) if one.check.area in self.deviation.areas]

    @property
    def strange(self) -> list[Outcome]:
        allowed = (
            *self.deviation.follows,
            *LOOKING_BACK,
            *(room for area in self.deviation.areas for room in AFTER[area]),
        )
        return [
            one
            for one in self.failed
            if one.check.area not in self.deviation.areas
            and not any(fnmatchcase(one.check.id, glob) or one.check.area == glob for glob in allowed)
        ]


def outcomes(server: FakeOpenAI, checks: Sequence[Check], *, timeout_s: float = 60.0) -> list[Outcome]:
    """``checks`` against ``server``, one at a time."""
    endpoint = Endpoint(base_url=server.url, api_key=server.key, connect_timeout=5.0)
    settings = ProbeSettings(timeout_s=timeout_s, allow=("delete",), wait_s=0.0)
    return run(Session(endpoint, settings), checks)


def bad(found: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """The failures: wrong, or accepted without effect; and what a check could not bear."""
    return tuple(one for one in found if _is_bad(one) and not _is_timed(one))


def _is_bad(outcome: Outcome) -> bool:
    return outcome.finding.verdict in BAD or outcome.finding.saw.startswith("internal error")


def _is_timed(outcome: Outcome) -> bool:
    return outcome.check.id in TIMED or "events arrive at once, after" in outcome.finding.saw


def hunt(server: FakeOpenAI, deviation: Deviation, checks: Sequence[Check]) -> Hunt:
    """What ``checks`` say when ``deviation`` is switched on."""
    server.become(Settings(reasoning=deviation.reasoning), deviation)
    seen = outcomes(server, checks)
    assert not server.broken, server.broken
    refused = [one for one in seen if one.finding.verdict == "unsupported" and one.check.id not in NEVER]
    return Hunt(deviation, bad(seen), tuple(refused))
