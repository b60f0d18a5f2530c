"""Every exception of the hub's client becomes a sentence; those that a fake hub provokes are tested with it."""

from __future__ import annotations

import httpx2
import pytest
from huggingface_hub import errors as hub

from llmserve.errors import LlmserveError, NeedsAccessError, UsageError
from llmserve.models.hub.errors import explain

ENDPOINT = "https://hub.example"


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", ENDPOINT))


def explained(error: Exception, *, token: bool = False) -> LlmserveError:
    found = explain(error, repo="org/x", revision="v1", endpoint=ENDPOINT, token=token)
    assert found.message.endswith((".", ")"))
    assert found.hint
    return found


@pytest.mark.parametrize(
    ("status", "token", "kind", "code"),
    [
        (401, True, NeedsAccessError, "token_rejected"),
        (401, False, UsageError, "unknown_model"),
        (403, True, NeedsAccessError, "forbidden"),
        (429, False, LlmserveError, "hub_rate_limit"),
        (500, False, LlmserveError, "hub_unreachable"),
        (503, True, LlmserveError, "hub_unreachable"),
        (418, False, LlmserveError, "hub_error"),
    ],
)
def test_answers(status: int, token: bool, kind: type[LlmserveError], code: str) -> None:
    found = explained(hub.HfHubHTTPError("x", response=response(status)), token=token)
    assert (type(found), found.code) == (kind, code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx2.ConnectError("refused"), "hub_unreachable"),
        (httpx2.ConnectTimeout("slow"), "hub_unreachable"),
        (httpx2.ProxyError("proxy"), "hub_unreachable"),
        (httpx2.UnsupportedProtocol("ftp"), "hub_bad_answer"),
        (httpx2.TooManyRedirects("round"), "hub_bad_answer"),
        (httpx2.DecodingError("gzip"), "hub_bad_answer"),
        (TimeoutError(), "hub_unreachable"),
        (httpx2.ReadTimeout("slow"), "hub_interrupted"),
        (httpx2.RemoteProtocolError("gone"), "hub_interrupted"),
        (hub.LocalEntryNotFoundError("nothing here"), "hub_unreachable"),
        (hub.HFValidationError("bad name"), "usage"),
        (OSError(30, "Read-only file system"), "cache_not_writable"),
        (ValueError("strange"), "hub_error"),
        (OSError("Consistency check failed: file should be of size 5"), "hub_error"),
    ],
)
def test_other_failures(error: Exception, code: str) -> None:
    assert explained(error).code == code


def test_the_cause_counts_not_its_wrapping() -> None:
    error = hub.LocalEntryNotFoundError("we cannot find it")
    error.__cause__ = httpx2.ConnectError("refused")
    assert "refused" in explained(error).message


def test_offline_mode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert explained(hub.OfflineModeIsEnabled("no")).code == "hub_offline"


def test_long_answers_are_cut_to_a_line() -> None:
    assert len(explained(ValueError("first line\n" + "x" * 5000)).message) < 300
