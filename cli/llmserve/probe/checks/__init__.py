"""The checks, a module for each area. Whatever module lies here is part of the catalogue."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from llmserve.probe import needs as common
from llmserve.probe.check import AREAS, Check
from llmserve.probe.needs import Need

__all__ = ["catalogue", "needs"]


@functools.cache
def catalogue() -> tuple[Check, ...]:
    """Every check, in the order of the areas and, within one, of its modules and their text.

    Raises:
        ValueError: two checks have one id, or one needs what does not exist.
    """
    order = list(AREAS)
    found = [one for module in _modules() for one in _checks_in(module)]
    ids = [check.id for check in found]
    if len(set(ids)) < len(ids):
        raise ValueError(f"two checks are called {next(name for name in ids if ids.count(name) > 1)}")
    unknown = {need for check in found for need in check.needs} - needs().keys()
    if unknown:
        raise ValueError(f"checks need what does not exist: {', '.join(sorted(unknown))}")
    return tuple(sorted(found, key=lambda check: order.index(check.area)))


def _checks_in(module: ModuleType) -> Iterator[Check]:
    """Its checks, and those that stand in its lists of checks."""
    for value in vars(module).values():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Check))


@functools.cache
def needs() -> dict[str, Need]:
    """Every need by its name."""
    found = (one for module in (common, *_modules()) for one in vars(module).values() if isinstance(one, Need))
    return {need.name: need for need in found}


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)
