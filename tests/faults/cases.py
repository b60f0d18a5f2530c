"""All cases of the matrix."""

from __future__ import annotations

from tests.faults import cases_disk, cases_ends, cases_hostile, cases_network
from tests.faults.registry import CASES, Skip

__all__ = ["CASES", "Skip", "cases_disk", "cases_ends", "cases_hostile", "cases_network"]
