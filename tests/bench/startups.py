"""Recorded start-ups as cases for the planner: what was started, on what, and what the log said."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from llmserve.hardware.machine import Cpu, Gpu, Link, Machine
from llmserve.models.architecture import from_config
from llmserve.models.assembly import model as assembled
from llmserve.models.model import Candidate, Model, Source
from llmserve.models.parameters import tensor_groups

FOLDER = Path(__file__).parent.parent / "recordings" / "startups"
GIB = 1024**3


@dataclass(frozen=True)
class Card:
    """``total`` as nvidia-smi says and ``free`` on an idle card, both in GiB. ``vendor`` groups the report."""

    name: str
    total: float
    free: float
    arch: str = ""
    vendor: str = "nvidia"
    nvlink: bool = False


CARDS = {
    "T4": Card("T4", 15.0, 14.74, "sm_75"),
    "16 GB": Card("16 GB class", 16.0, 15.7, "sm_89"),
    "20.00 GiB": Card("20 GB class", 20.0, 19.7, "sm_89"),
    "24 GB": Card("24 GB class", 23.99, 23.6, "sm_89"),
    "RTX 3090": Card("RTX 3090", 24.0, 23.6, "sm_86"),
    "RTX 4090": Card("RTX 4090", 23.99, 23.6, "sm_89"),
    "V100": Card("V100 32GB", 32.0, 31.74, "sm_70"),
    "A100-SXM4-40GB": Card("A100 40GB", 40.0, 39.5, "sm_80", nvlink=True),
    "A100 40GB": Card("A100 40GB", 40.0, 39.5, "sm_80", nvlink=True),
    "48 GB class": Card("48 GB class", 45.0, 44.39, "sm_89"),
    "L40S": Card("L40S", 44.99, 44.53, "sm_89"),
    "L20": Card("L20", 48.0, 47.4, "sm_89"),
    "RTX 6000 Ada": Card("RTX 6000 Ada", 47.99, 47.43, "sm_89"),
    "A100-SXM4-80GB": Card("A100 80GB", 80.0, 79.2, "sm_80", nvlink=True),
    "80 GB class": Card("80 GB class", 79.65, 79.06, "sm_90", nvlink=True),
    "H100": Card("H100", 79.65, 79.06, "sm_90", nvlink=True),
    "Hopper": Card("H200", 140.4, 139.81, "sm_90", nvlink=True),  # it ended with more free than an H100 would have
    "84 GB": Card("84 GB part", 83.6, 83.1, "sm_120"),
    "RTX PRO 6000": Card("RTX PRO 6000", 95.59, 95.0, "sm_120"),
    "96 GB class": Card("96 GB class", 95.59, 94.9, "sm_120"),
    "H200": Card("H200", 140.4, 139.81, "sm_90", nvlink=True),
    "B200": Card("B200", 179.06, 178.4, "sm_100", nvlink=True),
    "GB10": Card("GB10", 119.7, 115.5, "sm_121", "unified memory"),
    "MI300X": Card("MI300X", 191.98, 191.9, "gfx942", "amd", nvlink=True),
    "MI3": Card("MI355X", 287.98, 287.8, "gfx950", "amd", nvlink=True),
    "AMD Instinct 288": Card("MI355X", 287.98, 287.8, "gfx950", "amd", nvlink=True),
    "Moore Threads": Card("MTT S5000", 80.0, 79.0, "musa", "other"),
    "Ascend": Card("Ascend 910", 64.0, 61.3, "npu", "other"),
}

_RELEASES = (
    ("2026-08", "0.5.18"), ("2026-05", "0.5.14"), ("2026-01", "0.5.8"), ("2025-09", "0.5.3"), ("2025-07", "0.4.9"),
    ("2025-05", "0.4.6"), ("", "0.4.4"),
)  # fmt: skip

UNNAMED = {
    "llama31-8b-docs-2025-01": "80 GB class", "qwen3.5-9b-tp2-24gb-2026-04": "24 GB", "lfm2-700m-16gb-2025-12": "16 GB",
    "minicpm5-1b-16gb": "16 GB", "minicpm-sala-2026-04": "84 GB", "qwen2-7b-tp2-2024-07": "24 GB",
    "ling3-2026-08-bf16-1xgpu": "H200",
}  # fmt: skip
"""Cards that the logs do not name, by the memory that was free."""


@dataclass(frozen=True)
class Case:
    """One recorded start-up. Figures are GiB as logged, None where the log does not state them."""

    row: dict[str, Any]
    config: dict[str, Any] | None
    pools_only: bool = False
    """The shape is known from the logged pools alone, so that weights cannot be computed."""

    def __getattr__(self, name: str) -> Any:
        return self.row.get(name)

    @property
    def flags(self) -> dict[str, Any]:
        return dict(self.row.get("flags") or {})

    @property
    def extra(self) -> dict[str, Any]:
        return dict(self.row.get("extra") or {})

    @cached_property
    def card(self) -> Card:
        wanted = UNNAMED.get(self.id) or self.gpu or ""
        return next(card for name, card in CARDS.items() if name in wanted)

    @cached_property
    def model(self) -> Model | None:
        """The model from its configuration alone; None where none was published."""
        if self.config is None:
            return None
        shape = from_config(self.config, self.config_key or self.id)
        source = Source(format="safetensors", repo=self.model_name)
        candidate = Candidate(ref=self.model_name, name=self.model_name, sources=(source,))
        found = assembled(candidate, source, shape, tensor_groups(self.config, shape))
        return replace(found, basis="config")

    @property
    def model_name(self) -> str:
        return str(self.row["model"])

    @property
    def version(self) -> str:
        """SGLang's version, by the date of the record where the log does not say it."""
        said = re.match(r"\d+\.\d+(\.\d+)?", str(self.sglang_version or ""))
        dated = re.search(r"(202\d)-(\d\d)", f"{self.sglang_version} {self.id} {self.source}")
        if said and not said.group().startswith("0.0"):
            return said.group()
        month = dated.group() if dated else "2026-06"
        return next(release for since, release in _RELEASES if month >= since)

    @property
    def shared(self) -> bool:
        """Whether another process held a good part of the card, so that free memory must be stated."""
        before = self.before_load
        return before is not None and before < 0.9 * self.card.free

    @property
    def before_load(self) -> float | None:
        """Free memory when the weights began to load: SGLang's B."""
        if self.avail_mem_before_load_gb is not None:
            return float(self.avail_mem_before_load_gb)
        if self.avail_mem_after_load_gb is not None and self.weight_mem_gb is not None:
            return float(self.avail_mem_after_load_gb + self.weight_mem_gb)
        return None

    @property
    def after_load(self) -> float | None:
        """Free memory after the weights of target and draft."""
        after = self.extra.get("draft_avail_after_load_gb", self.avail_mem_after_load_gb)
        return None if after is None else float(after)

    def machine(self) -> Machine:
        """The machine of the record, from its profile; a shared card has what was free stated."""
        card, count = self.card, int(self.row.get("gpu_count") or 1)
        free = min(card.free, (self.before_load or card.free) + 0.5) if self.shared else card.free
        links = {i: tuple(Link(peer=j, kind="nvlink", lanes=18) for j in range(count) if j != i) for i in range(count)}
        gpus = tuple(
            Gpu(
                index=i, uuid=f"GPU-{i}", vendor="amd" if card.vendor == "amd" else "nvidia", name=card.name,
                total_bytes=int(card.total * GIB), free_bytes=int(free * GIB), arch=card.arch,
                links=links[i] if card.nvlink else (),
            )
            for i in range(count)
        )  # fmt: skip
        return Machine(
            name=card.name, os="Linux", arch="x86_64", cpu=Cpu(model="recorded", cores=64, threads=128),
            ram_total_bytes=1024 * GIB, ram_available_bytes=1000 * GIB, gpus=gpus,
        )  # fmt: skip


@cache
def cases() -> tuple[Case, ...]:
    """All recorded start-ups, in the order of the file."""
    rows = json.loads((FOLDER / "starts.json").read_text(encoding="utf-8"))
    configs = json.loads((FOLDER / "configs.json").read_text(encoding="utf-8"))
    extra = json.loads((FOLDER / "more_configs.json").read_text(encoding="utf-8"))
    return tuple(
        Case(row, _config(row, configs, extra), bool(extra.get(row["id"], {}).get("pools_only"))) for row in rows
    )


def _config(row: dict[str, Any], configs: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any] | None:
    if row["id"] in extra:
        return dict(extra[row["id"]]["config"])
    entry = configs.get(row.get("config_key") or "")
    config = entry.get("config") if entry else None
    return {**config, **_parts(entry)} if entry and config else None


def _parts(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("text_config", "vision_config") if entry.get(name) is not None}
