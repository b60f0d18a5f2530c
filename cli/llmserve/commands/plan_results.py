"""What ``plan`` answers with: one plan in full, one line for a check, or several plans side by side."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from llmserve.commands.plan_cases import Case
from llmserve.errors import DoesNotFitError
from llmserve.output import ledger
from llmserve.output.ledger import Look
from llmserve.output.text import gib
from llmserve.plan import explain, pictures, published, users
from llmserve.plan.plan import Plan
from llmserve.result import Result

COLUMNS = (8192, 32_768, 131_072)
"""Contexts for which a comparison shows users."""


def shown(case: Case, look: Look, *, arithmetic: bool) -> Result:
    """One plan in full; or why it does not fit, and what would make it fit."""
    answer = case.answer
    if isinstance(answer, DoesNotFitError):
        human = explain.changes(answer.data.get("alternatives", ()), look)
        return Result(data=case.data, human=human, exit_code=answer.exit_code, error=answer)

    def text(look: Look) -> str:
        return explain.describe(answer, case.model, look=look, arithmetic=arithmetic)

    coloured = text(look) if look.colour else ""
    return Result(data=case.data, human=text(replace(look, colour=False)), coloured=coloured, quiet=flag_line(answer))


def flag_line(plan: Plan) -> str:
    """The engine's settings as one line for a shell."""
    return shlex.join(word for flag in plan.flags for word in (flag.name, flag.value) if word is not None)


def checked(cases: Sequence[Case]) -> Result:
    """One line for each case; the exit code is 3 if any does not fit."""
    refused = [case for case in cases if isinstance(case.answer, DoesNotFitError)]
    if not refused:
        return Result(data=_data(cases), human="\n".join(_line(case, several=len(cases) > 1) for case in cases))
    if len(cases) == 1:
        error = DoesNotFitError(_line(cases[0]), data=_refusal(cases[0]).data)
        return Result(data=_data(cases), exit_code=error.exit_code, error=error)
    error = DoesNotFitError(f"{len(refused)} of {len(cases)} plans do not fit.")
    lines = "\n".join(_line(case, several=True) for case in cases)
    return Result(data=_data(cases), human=lines, exit_code=error.exit_code, error=error)


def _refusal(case: Case) -> DoesNotFitError:
    assert isinstance(case.answer, DoesNotFitError)
    return case.answer


def _line(case: Case, *, several: bool = False) -> str:
    if isinstance(case.answer, Plan):
        return (f"{case.machine.name}: " if several else "") + explain.verdict(case.answer)
    return f"{case.model.name} does not fit on {case.machine.name}: {case.answer.message}"


def compared(cases: Sequence[Case], look: Look) -> Result:
    """A table with one row for each case; the exit code is 3 if none fits."""
    fitting = [case for case in cases if isinstance(case.answer, Plan)]
    error = None if fitting else DoesNotFitError(f"None of the {len(cases)} plans fits.")
    return Result(
        data=_data(cases),
        human="\n".join(_table(cases, look) or _listed(cases, look)),
        quiet="\n".join(f"{case.ref} {case.machine.name}" for case in fitting),
        exit_code=error.exit_code if error else 0,
        error=error,
    )


def _table(cases: Sequence[Case], look: Look) -> list[str]:
    """Lines of the table, and why cases were refused; nothing where the terminal is too narrow.

    Where all columns together are too wide, the models stand above the rows of their machines.
    """
    lines = _rows(_HEAD, [_row(case) for case in cases], look)
    lines = lines or _rows(("MODEL, MACHINE", *_HEAD[2:]), _under_their_models(cases), look)
    if not lines:
        return []
    lines += ["", *ledger.folded("The last columns are users at the same time with that many tokens each.", look)]
    for case in cases:
        if isinstance(case.answer, DoesNotFitError):
            lines += ["", *ledger.folded(_line(case), look, rest="  ")]
    return lines


_HEAD = ("MODEL", "MACHINE", "GPUS", "WEIGHTS", "KV TOKENS", *(pictures.short(size) for size in COLUMNS))


def _under_their_models(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for before, case in zip((None, *cases), cases, strict=False):
        if before is None or before.model.name != case.model.name:
            rows.append((case.model.name,))
        rows.append((f"  {case.machine.name}", *_row(case)[2:]))
    return rows


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]], look: Look) -> list[str]:
    """Aligned lines; none if they would be wider than the terminal. A row of one cell is a heading."""
    table = [row for row in (head, *rows) if len(row) > 1]
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    names = len(head) - len(_HEAD) + 2
    lines = [_joined(row, wide, names) if len(row) > 1 else row[0] for row in (head, *rows)]
    return lines if max(map(len, lines)) <= look.width else []


def _joined(row: Sequence[str], wide: Sequence[int], names: int) -> str:
    return "  ".join(_set(cell, wide[i], right=i >= names) for i, cell in enumerate(row)).rstrip()


def _set(cell: str, width: int, *, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _listed(cases: Sequence[Case], look: Look) -> list[str]:
    return [line for case in cases for line in ledger.folded(_line(case, several=True), look, first="- ", rest="  ")]


def _row(case: Case) -> tuple[str, ...]:
    plan, names = case.answer, (case.model.name, case.machine.name)
    if isinstance(plan, DoesNotFitError):
        return (*names, "no", *("-" for _ in range(2 + len(COLUMNS))))
    weights, tokens = gib(plan.predicted.weights_bytes_per_gpu), f"{plan.kv_tokens_in_all:,}"
    return (*names, str(len(plan.gpus) * plan.nodes or "CPU"), weights, tokens, *_users(case, plan))


def _users(case: Case, plan: Plan) -> list[str]:
    window = users.window(case.model)
    return [
        f"{users.at(plan, size, window=window).users:,}" if size <= case.model.context_length else "-"
        for size in COLUMNS
    ]


def _data(cases: Sequence[Case]) -> dict[str, object]:
    return cases[0].data if len(cases) == 1 else published.compared([case.data for case in cases])
