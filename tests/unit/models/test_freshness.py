"""Whether a branch still stands for a commit: only a plain answer counts, with a proxy or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmserve.models.hub import freshness
from llmserve.models.hub.plan import FetchPlan, Wanted
from tests.fakes.scripted import Answer, Request, black_hole, scripted

COMMIT = "a" * 40
Script = Callable[[Request], Answer]


def plan(revision: str = "main") -> FetchPlan:
    files = (Wanted(name="large.bin", size_bytes=9), Wanted(name="with space.json", size_bytes=2))
    return FetchPlan(repo="org/x", commit=COMMIT, revision=revision, folder=Path(), files=files)


def saying(status: int, commit: str = COMMIT, name: str = "X-Repo-Commit") -> Script:
    return lambda _: Answer(b"", status, {name: commit, "Location": "http://127.0.0.1:9/elsewhere"})


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize(
    ("script", "same"),
    [
        (saying(200), True),
        (saying(307), True),
        (saying(302, name="x-repo-commit"), True),
        (saying(200, "b" * 40), False),
        (saying(401), False),
        (saying(404), False),
        (saying(500), False),
        (lambda _: Answer(b"", 200), False),
    ],
)
def test_only_a_good_answer_counts(script: Script, same: bool, proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(script) as server:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", server.url)
        assert freshness.unchanged("http://hub.invalid" if proxied else server.url, plan("a/b")) is same
        (request,) = server.requests
        assert request.path.endswith("/org/x/resolve/a%2Fb/with%20space.json")


def test_a_hub_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "_PATIENCE", 0.2)
    with black_hole() as url:
        assert not freshness.unchanged(url, plan())


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://me:x@127.0.0.1:9", "https://h\u00fcb.invalid"])
def test_no_answer_is_none(endpoint: str) -> None:
    assert not freshness.unchanged(endpoint, plan())


def test_a_server_that_speaks_no_tls_is_no_hub() -> None:
    with scripted(saying(200)) as server:
        assert not freshness.unchanged(server.url.replace("http://", "https://"), plan())
        assert server.requests == []
