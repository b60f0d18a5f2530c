"""Hubs that are none, are broken, or mean harm: one sentence each, in time."""

from __future__ import annotations

import gzip
import time
from contextlib import closing
from typing import Any

import pytest

from llmserve.errors import LlmserveError
from llmserve.models.hub import answers, api
from llmserve.models.hub.api import Hub, Listing
from tests.fakes.scripted import COMMIT, Answer, Request, about, scripted

JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html"}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PAUSES", (0.01, 0.01))


def listing(answer: Answer) -> Listing:
    with scripted(lambda _: answer) as server, closing(Hub(server.url)) as hub:
        return hub.listing("org/x")


def refused(answer: Answer) -> LlmserveError:
    with pytest.raises(LlmserveError) as caught:
        listing(answer)
    error = caught.value
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert len(error.message) < 300
    assert error.hint
    return error


def test_what_a_hub_says() -> None:
    siblings = [
        {"rfilename": "config.json", "size": 2, "blobId": "a" * 40},
        {"rfilename": "sub/x.safetensors", "size": 9, "blobId": "b" * 40, "lfs": {"sha256": "c" * 64, "size": 9}},
    ]
    found = listing(Answer(about(siblings=siblings, gated="manual", cardData={"base_model": "org/base"}), headers=JSON))
    assert (found.commit, found.gated, found.base_models) == (COMMIT, "manual", ("org/base",))
    small, large = found.files["config.json"], found.files["sub/x.safetensors"]
    assert (small.size, small.content_hash, small.git_sha1, small.sha256) == (2, "a" * 40, "a" * 40, None)
    assert (large.size, large.content_hash, large.git_sha1, large.sha256) == (9, "c" * 64, None, "c" * 64)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(b"<!doctype html><title>Log in</title>", headers=HTML), "a web page"),
        (Answer(b"\n <html>", headers=JSON), "a web page"),
        (Answer(b"<html>403</html>", 403, HTML), "a web page (403)"),
        (Answer(b"<html>404</html>", 404, HTML | {"Server": "nginx"}), "a web page (404)"),
        (Answer(b"{", headers=JSON), "something else"),
        (Answer(b"", headers=JSON), "something else"),
        (Answer(b"\x80\xff\x00", headers={"Content-Type": "application/octet-stream"}), "something else"),
        (Answer(b"[" * 500_000, headers=JSON), "something else"),
        (Answer(b'{"size": ' + b"9" * 5000 + b"}", headers=JSON), "something else"),
        (Answer([], headers=JSON), "does not describe a model"),
        (Answer("hello", headers=JSON), "does not describe a model"),
        (Answer({}, headers=JSON), "which commit"),
        (Answer(b"", 204), "leads nowhere (204)"),
        (Answer(about(), 206, JSON), "leads nowhere (206)"),
        (Answer(b"", 302), "leads nowhere (302)"),
        (Answer(b"", 302, {"Location": "/api/models/org/x"}), "in a circle"),
        (Answer(b"", 302, {"Location": "ftp://example.invalid/x"}), "no web address"),
        (Answer(b"", 302, {"Location": "http://[::"}), "no address"),
        (Answer(b"not gzip", headers={"Content-Encoding": "gzip"}), "decompressed"),
    ],
)
def test_answers_that_no_hub_gives(answer: Answer, says: str) -> None:
    error = refused(answer)
    assert says in error.message
    assert error.code == "hub_bad_answer"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"sha": None}, "hub_bad_answer"),
        ({"sha": 7}, "hub_bad_answer"),
        ({"sha": "../../../../tmp/x"}, "hub_bad_answer"),
        ({"sha": "main"}, "hub_bad_answer"),
        ({"siblings": None}, "hub_bad_answer"),
        ({"siblings": {}}, "hub_bad_answer"),
        ({"siblings": [None]}, "hub_bad_answer"),
        ({"siblings": [{"size": 1}]}, "hub_bad_answer"),
        ({"siblings": [{"rfilename": 5, "size": 1}]}, "hub_bad_answer"),
        ({"siblings": [{"rfilename": "x"}]}, "hub_bad_answer"),
        ({"siblings": [{"rfilename": "x", "size": "1"}]}, "absurd_size"),
        ({"siblings": [{"rfilename": "x", "size": True}]}, "absurd_size"),
        ({"siblings": [{"rfilename": "x", "size": -1}]}, "absurd_size"),
        ({"siblings": [{"rfilename": "x", "size": 1e300}]}, "absurd_size"),
        ({"siblings": [{"rfilename": "x", "size": 2**60}]}, "absurd_size"),
    ],
)
def test_fields_that_are_missing_or_wrong(wrong: dict[str, Any], code: str) -> None:
    assert refused(Answer(about(**wrong), headers=JSON)).code == code


@pytest.mark.parametrize(
    "name",
    [
        "../x", "a/../../x", "/etc/passwd", "", ".", "..", "a//b", "a/", "./a", "a\0b", "\ud800", "x" * 300,
        "/".join("x" * 200 for _ in range(8)),
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(name: str) -> None:
    error = refused(Answer(about(siblings=[{"rfilename": name, "size": 1}]), headers=JSON))
    assert error.code == "unsafe_name"
    assert "Do not trust" in (error.hint or "")


@pytest.mark.parametrize("name", ["a", "..a", "a..b/c", "ä/日本.json", "a b", "-", "x" * 255])
def test_names_that_are_unusual_and_harmless(name: str) -> None:
    assert list(listing(Answer(about(siblings=[{"rfilename": name, "size": 1}]), headers=JSON)).files) == [name]


@pytest.mark.parametrize("value", ["../../../etc/passwd", "zz", 5, "A" * 64, "a" * 39])
def test_a_hash_that_is_none_names_no_file_of_the_cache(value: object) -> None:
    large = [{"rfilename": "x", "size": 1, "lfs": {"sha256": value}}, {"rfilename": "y", "size": 1, "blobId": value}]
    files = listing(Answer(about(siblings=large), headers=JSON)).files
    assert [file.content_hash for file in files.values()] == [None, None]


def test_a_card_may_say_anything() -> None:
    cards: tuple[Any, ...] = (None, [], "x", {"base_model": {"a": 1}}, {"base_model": [5]})
    for card in cards:
        found = listing(Answer(about(cardData=card, gated=3, private="x"), headers=JSON))
        assert (found.base_models, found.gated, found.private) == ((), "", False)


@pytest.mark.parametrize("packed", [False, True])
def test_a_listing_that_is_too_long_is_left(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 200_000)
    body = b"[" + b" " * 5_000_000
    answer = Answer(gzip.compress(body), headers=JSON | {"Content-Encoding": "gzip"}) if packed else Answer(body)
    assert "says more of org/x" in refused(answer).message


def test_a_listing_without_an_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 10_000_000)
    assert "says more of org/x" in refused(Answer(b"{", headers=JSON, endless=True)).message


def test_a_refusal_without_an_end_is_cut() -> None:
    assert refused(Answer(b"x", 404, JSON, endless=True)).code == "hub_error"


@pytest.mark.parametrize("body", [[], "x", {"error": {"a": 1}}, {"error": ["x"]}, b"\xff", {"error": "x" * 50_000}])
def test_refusals_may_say_anything(body: Any) -> None:
    assert refused(Answer(body, 418, JSON)).code == "hub_error"
    assert refused(Answer(body, 403, JSON)).code == "forbidden"


def test_what_a_refusal_says_is_passed_on_in_a_line() -> None:
    error = refused(Answer({"error": "not for\nyou"}, 403, JSON))
    assert "It says: not for." in error.message


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_is_outlived(status: int) -> None:
    script = iter([Answer(b"", status), Answer(b"<html>", status, HTML), Answer(about(), headers=JSON)])
    with scripted(lambda _: next(script)) as server, closing(Hub(server.url)) as hub:
        assert hub.listing("org/x").commit == COMMIT
        assert len(server.requests) == 3


def test_a_lasting_fault_is_not_asked_for_ever() -> None:
    with (
        scripted(lambda _: Answer(b"", 500)) as server,
        closing(Hub(server.url)) as hub,
        pytest.raises(LlmserveError) as caught,
    ):
        hub.listing("org/x")
    assert caught.value.code == "hub_unreachable"
    assert len(server.requests) == 3


def test_the_hub_may_ask_for_a_pause() -> None:
    script = iter([Answer(b"", 429, {"Retry-After": "0.3"}), Answer(about(), headers=JSON)])
    began = time.monotonic()
    with scripted(lambda _: next(script)) as server, closing(Hub(server.url)) as hub:
        hub.listing("org/x")
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("pause", ["90", "inf"])
def test_a_long_pause_is_left_to_the_user(pause: str) -> None:
    began = time.monotonic()
    error = refused(Answer(b"", 429, {"Retry-After": pause}))
    assert error.code == "hub_rate_limit"
    assert time.monotonic() - began < 60
    assert ("Wait 90 s" in (error.hint or "")) is (pause == "90")


def test_a_file_that_is_a_login_page() -> None:
    def script(request: Request) -> Answer:
        return Answer(about(), headers=JSON) if request.path.startswith("/api") else Answer(b"<html>", headers=HTML)

    with scripted(script) as server, closing(Hub(server.url)) as hub:
        found = hub.listing("org/x")
        with pytest.raises(LlmserveError, match="web page") as caught:
            hub.read(found, hub.url(found, "config.json"), 0, 2)
    assert caught.value.code == "hub_bad_answer"


def test_the_wrong_part_of_a_file() -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/api"):
            return Answer(about(), headers=JSON)
        return Answer(b"xx", 206, {"Content-Range": "bytes 0-1/9"})

    with scripted(script) as server, closing(Hub(server.url)) as hub:
        found = hub.listing("org/x")
        assert hub.read(found, hub.url(found, "config.json"), 0, 2)[0] == b"xx"
        with pytest.raises(LlmserveError, match="bytes from 5"):
            hub.read(found, hub.url(found, "config.json"), 5, 2)


def test_more_than_was_asked_for_is_not_read() -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/api"):
            return Answer(about(), headers=JSON)
        return Answer(b"ab", 206, {"Content-Range": "bytes 0-1/9"}, endless=True)

    with scripted(script) as server, closing(Hub(server.url)) as hub:
        found = hub.listing("org/x")
        assert hub.read(found, hub.url(found, "config.json"), 0, 2)[0] == b"ab"
