"""What a model writes must not steer the terminal, however it is cut into pieces."""

from __future__ import annotations

import sys
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.chat.text import Sanitizer, mend
from llmserve.chat.text import clean as clean_whole

_HOSTILE = st.sampled_from([
    "\x1b", "[", "]", "0;", "52;c;", "m", "\x07", "\x1b\\", "\x9b", "\x9d", "\x90", "\r", "\n", "\t", "\x08", "\u202e",
    "\u2066", "\ud83d", "\ude00", "\u200b", "\u0301" * 20, "\u2028", "\x7f", "\x00", "\x18", "P", "X", "^", "_", "?25l",
    "2J", "1A", "8;;http://evil/", "\U000e0041" * 30,
])  # fmt: skip
_ANY = st.lists(_HOSTILE | st.text(max_size=4), max_size=30).map("".join)


def clean(*pieces: str) -> str:
    sanitizer = Sanitizer()
    return "".join(map(sanitizer.feed, pieces)) + sanitizer.end()


@pytest.mark.parametrize(
    ("pieces", "left"),
    [
        (("a\x1b", "[31", "mred\x1b[0m"), "ared"),
        (("\x1b]0;title\x07x", "\x9b31mz", "\x1b"), "xz"),
        (("a\x1b]52;c;", "ZXZpbA==\x1b", "\\b"), "ab"),
        (("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",), "click"),
        (("\x1bPq#0\x1b\\a\x90x\x9cb\x1b_apc\x1b\\c",), "abc"),
        (("\x1b7\x1b[2J\x1b[1;1Ha\x1bc\x1b(Bb",), "ab"),
        (("a\tb\r\nc\rd\x08\x7f\x00",), "a\tb\ncd"),
        (("\x1b]0;never ended\nnext line",), "\nnext line"),
        (("\x1b[" + "1;" * 100 + "m after",), None),
        (("a\u202egpj.exe\u202c",), "agpj.exe"),
        (("a\u2028b",), "a\nb"),
        (("\x1b[\x1b[31mx",), "x"),
        (("\x1b\u00e9",), "é"),
    ],
)
def test_sequences_are_taken_out_whole(pieces: tuple[str, ...], left: str | None) -> None:
    text = clean(*pieces)
    assert "\x1b" not in text
    assert left is None or text == left


def test_a_sequence_without_an_end_hides_a_bounded_piece() -> None:
    assert clean("\x1b]" + "x" * 10_000).count("x") > 5_000
    assert clean("\x1b[" + "1" * 1_000).count("1") > 900


def test_halves_of_an_emoji_find_each_other() -> None:
    assert clean("a\ud83d", "\ude00b") == "a😀b"
    assert clean("a\ud83d", "", "b\ude00") == "a\ufffdb\ufffd"
    assert clean("a\ud83d") == "a\ufffd"
    assert mend("\ud83d\ude00 \ud83d") == "😀 \ufffd"


def test_text_of_all_the_world_stays_as_it_is() -> None:
    for text in (
        "Zażółć gęślą jaźń",
        "Ελληνικά",
        "नमस्ते दुनिया",
        "สวัสดีชาวโลก",
        "שָׁלוֹם עֲלֵיכֶם",
        "مَرْحَبًا",
        "日本語のテキスト",
        "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👍🏽",
    ):
        assert clean(text) == text


def test_a_flood_without_width_is_dammed() -> None:
    assert len(clean("a" + "\u0301" * 10_000 + "b" + "\u200b" * 10_000, "\u200b" * 100)) <= 20


@settings(deadline=None)
@given(pieces=st.lists(_ANY, max_size=8))
def test_nothing_but_newlines_and_tabs_controls_a_terminal(pieces: list[str]) -> None:
    text = clean(*pieces)
    assert all(unicodedata.category(char) != "Cc" or char in "\n\t" for char in text)
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    text.encode()  # no lone surrogate is left


@settings(deadline=None)
@given(text=_ANY, cuts=st.lists(st.integers(min_value=0, max_value=50)))
def test_any_cutting_gives_the_same_text(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    assert clean(*(text[a:b] for a, b in pairwise(edges))) == clean(text) == clean_whole(text)


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Mn", "Me", "Zl", "Zp"])))
def test_no_printable_character_is_lost(text: str) -> None:
    assert clean(text) == text


def test_every_printable_character_with_a_width_stays() -> None:
    codes = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    text = "".join(
        char for char in codes if char.isprintable() and unicodedata.category(char) not in ("Mn", "Me", "Cf")
    )
    assert clean_whole(text) == text
