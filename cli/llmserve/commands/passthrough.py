"""A command that leaves everything after ``--`` untouched, for the engine."""

from __future__ import annotations

from typer._click.core import Context
from typer.core import TyperCommand

_KEY = "llmserve.engine_args"


class PassThroughCommand(TyperCommand):
    """Takes the words after the first ``--`` off the line before options and arguments are parsed."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[_KEY] = tuple(args[cut + 1 :])
        return super().parse_args(ctx, args[:cut])

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ENGINE FLAGS]"]


def engine_args(ctx: Context) -> tuple[str, ...]:
    """What stood after ``--``."""
    words: tuple[str, ...] = ctx.meta[_KEY]
    return words
