"""Makes ``import torchvision`` work where its compiled half cannot be loaded.

The torchvision of the default index is a CUDA build. Beside CPU torch its library fails to load, which torchvision
forgives; but then it describes two operators that nobody declared, and its import dies. They are declared here, just
before torchvision's own code runs. They stay without an implementation: calling one still fails.
"""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Loader(SourceFileLoader):
    """torchvision's own loader, which declares the operators first if the library does not."""

    def exec_module(self, module: ModuleType) -> None:
        import torch

        if not _loads(Path(self.path).parent):
            for operator in _OPERATORS:
                torch.library.define(f"torchvision::{operator}", _SCHEMA)
        super().exec_module(module)


def _loads(package: Path) -> bool:
    """Whether torchvision's library loads; torchvision would load it next anyway."""
    import torch

    for library in package.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, _OPERATORS[0])
