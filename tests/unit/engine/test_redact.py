"""Secrets are taken out of a stream whatever pieces it comes in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.engine.redact import REDACTED, Redactor


def fed(secrets: list[str], pieces: list[bytes]) -> bytes:
    redactor = Redactor(secrets)
    return b"".join(map(redactor.feed, pieces)) + redactor.finish()


# few letters, so that secrets begin and end within one another all the time
letters = st.text(alphabet="ab", min_size=1, max_size=4)


@given(secrets=st.lists(letters, max_size=3), text=st.text(alphabet="abc", max_size=40), data=st.data())
def test_where_the_pieces_end_does_not_matter(secrets: list[str], text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cuts = data.draw(st.sets(st.integers(min_value=0, max_value=len(whole))))
    edges = sorted({0, *cuts, len(whole)})
    pieces = [whole[begin:end] for begin, end in pairwise(edges)]
    assert fed(secrets, pieces) == fed(secrets, [whole])
    between = fed(secrets, pieces).split(REDACTED)
    assert not any(secret.encode() in part for secret in secrets for part in between)


def test_what_cannot_be_a_secret_is_not_held_back() -> None:
    redactor = Redactor(["sk-secret"])
    assert redactor.feed(b"plain text\nsk-sec") == b"plain text\n"
    assert redactor.feed(b"ond") == b"sk-second"
    assert redactor.finish() == b""


def test_the_longer_of_two_secrets_that_begin_alike_goes_whole() -> None:
    assert fed(["key", "key-admin"], [b"a key", b"-admin b"]) == b"a " + REDACTED + b" b"


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_secrets_everything_passes_at_once(secrets: list[str]) -> None:
    assert Redactor(secrets).feed(b"anything") == b"anything"
