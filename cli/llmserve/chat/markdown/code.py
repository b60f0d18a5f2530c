"""Code inside fences: highlighted a line at a time, the highlighter's state carried from line to line."""

from __future__ import annotations

from typing import Any

from llmserve.chat.markdown.spans import Span

__all__ = ["Highlighter", "warm_up"]

_LONGEST = 1000  # longer lines are data, not code


def warm_up() -> None:
    """Import what the first code block needs, so that its first line does not wait for that."""
    Highlighter("python").line("x = 1")


class Highlighter:
    """For one block. An unknown language is shown as it is."""

    def __init__(self, language: str) -> None:
        self._lexer: Any = None
        self._stack: list[str] = ["root"]
        if language:
            self._lexer = _lexer(language)

    def line(self, text: str) -> list[Span]:
        """The spans of the next line, which comes without its newline."""
        if self._lexer is None or len(text) > _LONGEST:
            return [Span(text)]
        try:
            return self._lexed(text)
        except Exception:  # a lexer that fails on odd input costs the colours, not the answer
            self._lexer = None
            return [Span(text)]

    def _lexed(self, text: str) -> list[Span]:
        from pygments.lexer import ExtendedRegexLexer, LexerContext

        context = LexerContext(text + "\n", 0, list(self._stack))
        tokens = ExtendedRegexLexer.get_tokens_unprocessed(self._lexer, context=context)
        spans = [Span(value.rstrip("\n"), _style(kind)) for _, kind, value in tokens if value != "\n"]
        if "".join(span.text for span in spans) != text:
            raise ValueError("the lexer changed the text")
        self._stack = context.stack
        return spans


def _lexer(language: str) -> Any:
    from pygments.lexer import RegexLexer
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language.lower())
    except ClassNotFound:
        return None
    return lexer if isinstance(lexer, RegexLexer) else None


_STYLES = (
    ("Token.Comment", "2"), ("Token.Keyword", "35"), ("Token.Literal.String", "32"), ("Token.Literal.Number", "36"),
    ("Token.Name.Function", "34"), ("Token.Name.Class", "34"), ("Token.Name.Tag", "34"), ("Token.Name.Decorator", "33"),
    ("Token.Name.Builtin", "36"), ("Token.Operator.Word", "35"), ("Token.Generic.Inserted", "32"),
    ("Token.Generic.Deleted", "31"), ("Token.Generic.Heading", "1"),
)  # fmt: skip
_known: dict[Any, str] = {}


def _style(kind: Any) -> str:
    if kind not in _known:
        _known[kind] = next((style for name, style in _STYLES if str(kind).startswith(name)), "")
    return _known[kind]
