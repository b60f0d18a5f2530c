from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.endpoint.error_body import ServerError, of_object, parse


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "boom", "type": "invalid_request_error", "param": None, "code": "model_not_found"}},
         ServerError(message="boom", type="invalid_request_error", code="model_not_found")),
        ({"object": "error", "message": "boom", "type": "BadRequestError", "param": None, "code": 400},
         ServerError(message="boom", type="BadRequestError", code="400")),
        ({"detail": "Not Found"}, ServerError(message="Not Found")),
        ({"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted", "type": "extra"},
                     {"loc": ["body", "x"], "msg": "no"}]},
         ServerError(message="body.stream_options: Extra inputs are not permitted; body.x: no")),
        ({"detail": {"error": "boom"}}, ServerError(message="boom")),
        ({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
         ServerError(message="Loading model", type="unavailable_error", code="503")),
        ({"error": "boom"}, ServerError(message="boom")),
        ({"error": "boom", "error_type": "overloaded"}, ServerError(message="boom", type="overloaded")),
        ({"message": "no key"}, ServerError(message="no key")),
        ({"error": {"message": None}}, ServerError()),
        ([{"error": {"message": "in a list"}}], ServerError(message="in a list")),
        ("just a string", ServerError(message="just a string")),
        (None, ServerError()),
        ({}, ServerError()),
    ],
)  # fmt: skip
def test_dialects(body: Any, error: ServerError) -> None:
    assert parse(json.dumps(body).encode()) == error


def test_plain_text() -> None:
    assert parse(b"upstream  died\n\n").message == "upstream died"
    assert parse(b"").message == ""


@pytest.mark.parametrize(
    "html",
    [
        b"<html><head><title>502 Bad&nbsp;Gateway</title><style>b{}</style></head><body>nginx</body></html>",
        b"<!DOCTYPE html><style>b{}</style><h1>502 Bad</h1> <p>Gateway</p>",
    ],
)
def test_html(html: bytes) -> None:
    assert parse(html).message == "502 Bad Gateway"


def test_the_sentence_is_one_printable_line_of_bounded_length() -> None:
    error = parse(json.dumps({"error": {"message": "a\x1b[31m\nb" + "x" * 10_000, "type": "t\x07"}}).encode())
    assert error.message.startswith("a bxxx")
    assert len(error.message) < 700
    assert error.type == "t"


@pytest.mark.parametrize(("code", "status"), [("400", 400), ("503", 503), ("200", None), ("x", None), ("4000", None)])
def test_status_of_a_code(code: str, status: int | None) -> None:
    assert ServerError(code=code).status == status


def test_deep_nesting_is_no_error() -> None:
    deep: Any = "boom"
    for _ in range(900):
        deep = [deep]
    assert of_object({"detail": deep}) == ServerError()


@given(body=st.binary() | st.text().map(str.encode))
def test_no_body_breaks_it(body: bytes) -> None:
    assert "\x1b" not in parse(body).message
