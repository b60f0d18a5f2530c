from __future__ import annotations

import sys
import unicodedata
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llmserve.chat.text import Sanitizer, mend
from llmserve.output.text import printable

_ANY = st.text(st.characters() | st.sampled_from("\x1b[]0;m\x07\x9b\r\n\t\u202e\ud83d\ude00"))


def clean(*pieces: str) -> str:
    sanitizer = Sanitizer()
    return "".join(map(sanitizer.feed, pieces)) + sanitizer.end()


def test_an_escape_sequence_split_over_pieces_is_disarmed() -> None:
    assert clean("a\x1b", "[31", "mred") == "a[31mred"
    assert clean("\x1b]0;title\x07", "\x9b31m", "\x1b") == "]0;title31m"


def test_newlines_and_tabs_stay() -> None:
    assert clean("a\tb\r\nc\rd") == "a\tb\ncd"


def test_halves_of_an_emoji_find_each_other() -> None:
    assert clean("a\ud83d", "\ude00b") == "a😀b"
    assert clean("a\ud83d", "", "b\ude00") == "a\ufffdb\ufffd"
    assert clean("a\ud83d") == "a\ufffd"
    assert mend("\ud83d\ude00 \ud83d") == "😀 \ufffd"


@given(pieces=st.lists(_ANY))
def test_nothing_but_newlines_and_tabs_controls_a_terminal(pieces: list[str]) -> None:
    text = clean(*pieces)
    assert all(unicodedata.category(char) != "Cc" or char in "\n\t" for char in text)
    text.encode()  # no lone surrogate is left


@given(pieces=st.lists(st.text()))
def test_no_printable_character_is_lost(pieces: list[str]) -> None:
    def visible(text: str) -> str:
        return "".join(char for char in text if char.isprintable() or char in "\n\t")

    assert visible(clean(*pieces)) == visible("".join(pieces))


@given(text=_ANY, cuts=st.lists(st.integers(min_value=0, max_value=50)))
def test_any_cutting_gives_the_same_text(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    assert clean(*(text[a:b] for a, b in pairwise(edges))) == clean(text)


def test_it_drops_what_printable_drops() -> None:
    surrogates = range(0xD800, 0xE000)
    every = "".join(chr(code) for code in range(sys.maxunicode + 1) if code not in surrogates)
    assert clean(every) == printable(every.replace("\x1b", "")), "printable takes what follows an ESC, too"
