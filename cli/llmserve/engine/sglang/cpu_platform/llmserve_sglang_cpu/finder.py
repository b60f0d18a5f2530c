"""Stands in front of ``import torchvision``. Every start of the environment's Python imports this: it must be light."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing costs more to import than all of this module
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class Finder:
    """Answers for ``torchvision`` alone, and only says where it is: torch is imported when torchvision is."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        from importlib.machinery import PathFinder
        from importlib.util import spec_from_file_location

        from .torchvision_ops import Loader

        found = PathFinder.find_spec(name, path, target)
        if found is None or found.origin is None:
            return None
        return spec_from_file_location(name, found.origin, loader=Loader(name, found.origin))


def install() -> None:
    sys.meta_path.insert(0, Finder)
