"""Markdown as rows: what each construct looks like, and that pieces, however cut, end in the same rows."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.chat.markdown.inline import inline
from llmserve.chat.markdown.spans import Span, cells
from llmserve.chat.markdown.stream import Markdown
from llmserve.chat.markdown.wrap import wrap

_SGR = re.compile(r"\x1b\[[0-9;]*m")


def rows(*pieces: str, width: int = 40, colours: bool = False) -> list[str]:
    page = Markdown(width, colours=colours)
    final = [row for piece in pieces for row in page.feed(piece).final]
    return final + page.end().final


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Title\n## Sub ##\n#no", ["Title", "Sub", "#no"]),
        ("a **b** *c* `d` ~~e~~ __f__ _g_ h_i_j", ["a b c d e f g h_i_j"]),
        ("***x*** 2 * 3 * 4 **open", ["x 2 * 3 * 4 **open"]),
        ("``a ` b`` \\*no\\*", ["a ` b *no*"]),
        ("[text](http://a/b_(c)) ![alt](i.png)", ["[text](http://a/b_(c)) alt (i.png)"]),
        ("- a\n* b\n  + c\n10. d\n- [ ] e\n- [x] f", ["• a", "• b", "  • c", "10. d", "• ☐ e", "• ☑ f"]),
        ("> q\n> > r", ["│ q", "│ │ r"]),
        ("a\n---\nb", ["a", "─" * 40, "b"]),
        ("a\n\n\n\nb", ["a", "", "b"]),
        ("| a | b |\n|---|--:|\n| 1 | 2 |\nx", ["a   │   b", "────┼────", "1   │   2", "x"]),
        ("a | b\nno table", ["a | b", "no table"]),
        ("```py\nx = 1\n\n# no title\n```\n# title", ["```py", "x = 1", "", "# no title", "```", "title"]),
        ("````\n```\n````\n**b**", ["````", "```", "````", "b"]),
        ("  ```\n  x\n  ```", ["  ```", "x", "```"]),
        ("```\nnever closed", ["```", "never closed"]),
        ("one two three", ["one two three"]),
        ("", []),
    ],
)
def test_constructs(text: str, shown: list[str]) -> None:
    assert rows(text) == shown


def test_a_tall_table_settles() -> None:
    lines = ["| a | b |", "|---|---|", *(f"| {'x' * number} | 1 |" for number in range(40)), "", "after"]
    page = Markdown(60, colours=False)
    steps = [page.feed(f"{line}\n") for line in lines]
    assert max(len(step.open) for step in steps) < 12
    final = [row for step in steps for row in step.final]
    assert len(final) == 44
    assert final[41].startswith("xxxxxxxx… │ 1")
    assert final[42:] == ["", "after"]


def test_styles() -> None:
    assert rows("**b** `c`", colours=True) == ["\x1b[1mb\x1b[0m \x1b[36mc\x1b[0m"]
    assert inline("**a *b* c**") == [Span("a ", "1"), Span("b", "1;3"), Span(" c", "1")]


def test_code_is_highlighted_with_the_state_of_the_lines_before() -> None:
    coloured = rows('```python\nx = """\nif it\n"""\nif y:\n```', colours=True)
    assert coloured[2] == "\x1b[32mif it\x1b[0m", "inside a string"
    assert "\x1b[35mif\x1b[0m" in coloured[4]
    assert [_SGR.sub("", row) for row in coloured] == ["```python", 'x = """', "if it", '"""', "if y:", "```"]


def test_long_lines_are_wrapped_between_words_and_list_items_hang() -> None:
    assert rows("aaaa bbbb cccc dddd", width=10) == ["aaaa bbbb ", "cccc dddd"]
    assert rows("- aaaa bbbb cccc", width=10) == ["• aaaa ", "  bbbb ", "  cccc"]
    assert rows("x" * 25, width=10) == ["x" * 10, "x" * 10, "x" * 5]
    assert rows("日本語" * 4, width=10) == ["日本語日本", "語日本語日", "本語"]


def test_wide_tables_give_way() -> None:
    table = rows("| a | b |\n|---|---|\n| " + "x" * 50 + " | short |", width=30)
    assert all(cells(row) <= 30 for row in table)
    assert "…" in table[2]
    assert "short" in table[2]


def test_the_open_line_may_change_until_it_ends() -> None:
    page = Markdown(40, colours=False)
    assert page.feed("**bo").open == ["**bo"]
    assert page.feed("ld**").open == ["bold"]
    ended = page.feed("\nx")
    assert (ended.final, ended.open) == (["bold"], ["x"])


def test_a_table_grows_in_place() -> None:
    page = Markdown(40, colours=False)
    assert page.feed("| a | b |\n").open == ["| a | b |"]
    assert page.feed("|---|---|\n").open == ["a   │ b  ", "────┼────"]
    grown = page.feed("| long cell | 1 |\n| hal")
    assert grown.final == []
    assert grown.open[2] == "long cell │ 1  "
    assert page.feed("f | 2 |\n\n").final[3] == "half      │ 2  "


_PIECES = st.sampled_from(["**", "*", "`", "```", "\n", "\n\n", "| a | b |", "|---|---|", "- ", "# ", "> ", "~~",
                           "[x](y)", " ", "word ", "日本", "\t", "1. ", "~~~py\n", "x" * 30, "_", "\\"])  # fmt: skip
_PLAIN = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Mn", "Me", "Zl", "Zp"])
_TEXT = st.lists(_PIECES | st.text(_PLAIN, max_size=5), max_size=40).map("".join)


@settings(deadline=None)
@given(text=_TEXT, cuts=st.lists(st.integers(min_value=0, max_value=200)), colours=st.booleans())
def test_any_cutting_gives_the_same_rows_and_none_is_too_wide(text: str, cuts: list[int], colours: bool) -> None:
    edges = [0, *(min(cut, len(text)) for cut in sorted(cuts)), len(text)]
    cut_up = rows(*(text[a:b] for a, b in pairwise(edges)), width=20, colours=colours)
    assert cut_up == rows(text, width=20, colours=colours)
    assert all(cells(_SGR.sub("", row)) <= 20 for row in cut_up)


@settings(deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Mn", "Me", "Zs", "Zl", "Zp"])),
    width=st.integers(4, 30),
)
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    wrapped = wrap([Span(text)], width)
    assert "".join(span.text for row in wrapped for span in row) == text


def test_a_line_without_end_is_drawn_in_bounded_pieces() -> None:
    page = Markdown(80, colours=False)
    count = 0
    for _ in range(200):
        step = page.feed("word " * 100)
        count += len(step.final)
        assert len(step.open) < 30
    text = "word " * 20_000
    assert count + len(page.end().final) == len(rows(text, width=80))
    assert "".join(rows(text, width=80)).split() == text.split()
