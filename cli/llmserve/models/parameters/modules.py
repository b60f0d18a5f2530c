"""The matrices that a model is made of, before anything is said about how their numbers are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmserve.models.architecture.language import language_model
from llmserve.models.tensors import Role


@dataclass(frozen=True, kw_only=True)
class Module:
    """``copies`` matrices of ``outputs`` x ``inputs`` numbers in each of ``layers`` layers.

    ``name`` is how checkpoints call it, with ``{}`` for the number of the layer: quantised checkpoints name what they
    leave alone; ``first`` is the first layer that has it. ``bias`` numbers per matrix are never quantised; ``plain``
    matrices are not either.
    """

    role: Role
    name: str
    outputs: int
    inputs: int = 1
    layers: int = 1
    first: int = 0
    copies: int = 1
    bias: int = 0
    plain: bool = False
    dtype: str | None = None

    @property
    def numbers(self) -> int:
        """Parameters, as model cards count them."""
        return (self.outputs * self.inputs + self.bias) * self.layers * self.copies


class Config:
    """The language model's part of a configuration; numbers that make no sense count as absent."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.values = language_model(config)
        self.vision = config.get("vision_config")
        self.model_type = str(self.values.get("model_type", "")).removesuffix("_text")

    def number(self, *names: str, default: int = 0) -> int:
        """The first of ``names`` that is given; the largest one where it is given per layer."""
        for name in names:
            value = self.values.get(name)
            numbers = value if isinstance(value, (list, tuple)) and value else (value,)
            if all(type(number) is int and number >= 0 for number in numbers):
                return int(max(numbers))
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        return value if isinstance(value, bool) else default

    def is_like(self, *families: str) -> bool:
        """Whether the model's type is one of ``families``, or starts with one that ends in ``*``."""
        return any(
            self.model_type.startswith(name[:-1]) if name.endswith("*") else self.model_type == name
            for name in families
        )
