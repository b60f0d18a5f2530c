"""The cases of the matrix by name; the modules beside this one fill it."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.world import World

Case = Callable[[World], None]
CASES: dict[str, Case] = {}

MIDDLE = 600_001
"""Bytes after which something happens: within the first third, and on no border."""


class Skip(Exception):  # noqa: N818
    """The case cannot be had on this machine."""


def case(name: str) -> Callable[[Case], Case]:
    def keep(function: Case) -> Case:
        assert name not in CASES
        CASES[name] = function
        return function

    return keep
