"""How an endpoint wants to be asked, and what words cost there: learnt from a few requests before the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llmserve.bench.drive import Drive
from llmserve.bench.loop import Loop
from llmserve.bench.payload import Form
from llmserve.bench.records import CAUSES, Request, Row
from llmserve.bench.settings import Settings
from llmserve.bench.words import Vocabulary, calibrate
from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import LlmserveError

__all__ = ["ask", "learn"]


def learn(loop: Loop, endpoint: Endpoint, model: str, settings: Settings) -> tuple[Form, Vocabulary, tuple[str, ...]]:
    """How the endpoint is asked, what its words cost, and what there is to say about that.

    Raises:
        LlmserveError: it refuses in every form that is known.
    """
    plain = Form(
        base_url=endpoint.base_url, api=settings.api, model=model, api_key=endpoint.api_key,
        more_headers=endpoint.headers, ignore_eos=settings.ignore_eos and settings.api != "embeddings",
        extra=settings.extra,
    )  # fmt: skip
    modest = replace(plain, ignore_eos=False)
    for form in (*([plain] if plain.ignore_eos else []), modest, replace(modest, limit="max_completion_tokens")):
        row, detail = ask(loop, [form.payload(_user("time"), 1)], settings)[0]
        if row.status not in (400, 422):
            break
    if row.cause and row.cause not in ("missing_finish", "empty"):
        raise _refused(endpoint, row, detail)

    def count(prompts: Sequence[str]) -> list[int | None]:
        return [row.input_tokens for row, _ in ask(loop, [form.payload(_user(text), 1) for text in prompts], settings)]

    vocabulary = calibrate(count, like=round(settings.inputs.mean))
    notes = (
        () if vocabulary.exact else ("The lengths of inputs are approximate: the server's count did not confirm them.",)
    )
    return form, vocabulary, notes


def ask(loop: Loop, payloads: Sequence[bytes], settings: Settings) -> list[tuple[Row, str]]:
    """Send requests that are no part of the measurement; their rows in order, each with the words of a failure."""
    requests = [Request(payload=payload, session=index, measured=False) for index, payload in enumerate(payloads)]
    users = min(len(requests), 8, settings.most_connections)
    with loop.aside() as table:
        loop.run(Drive(requests=iter(requests), connections=users, users=users, timeout_s=settings.timeout_s))
        found = [(row, loop.tally.examples.get(row.cause, "")) for row in sorted(table, key=lambda row: row.session)]
    if loop.stop:
        raise KeyboardInterrupt
    return found


def _user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def _refused(endpoint: Endpoint, row: Row, detail: str) -> LlmserveError:
    what = f"status {row.status}" if row.cause == "status" else CAUSES[row.cause]
    hint = "Check --model and the key." if row.status in (401, 403, 404) else "Try it with `llmserve chat -m hi` first."
    said = f" ({endpoint.redacted(detail)})" if detail else ""
    return LlmserveError(f"{endpoint.base_url} refused a first request: {what}{said}.", hint=hint, code="refused")
