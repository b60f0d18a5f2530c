"""Models on machines, planned: the light path from names to plans, which starts nothing and fetches headers at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmserve import models
from llmserve.engine.base import Device
from llmserve.errors import DoesNotFitError
from llmserve.hardware.machine import Machine
from llmserve.models.model import Candidate, Format, Model
from llmserve.plan import choose, parallel, published
from llmserve.plan.plan import EngineName, Goal, Plan


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model on one machine, and the answer: a plan, or why there is none. ``ref`` is what the user typed."""

    ref: str
    model: Model
    machine: Machine
    answer: Plan | DoesNotFitError

    @property
    def data(self) -> dict[str, Any]:
        """The case as ``--json`` shows it."""
        if isinstance(self.answer, Plan):
            return published.fitting(self.answer, self.model, self.machine)
        return published.refused(self.answer, self.model, self.machine)


def cases(ref: str, machines: Sequence[Machine], *, engine: str, goal: Goal, revision: str | None = None) -> list[Case]:
    """One model on each machine. Each of its formats is described once."""
    candidate = models.resolve(ref, revision=revision, planning=True)
    described: dict[Format, Model] = {}
    return [_case(ref, candidate, machine, described, engine, goal) for machine in machines]


def _case(
    ref: str, candidate: Candidate, machine: Machine, described: dict[Format, Model], wish: str, goal: Goal
) -> Case:
    engine, reason = choose.choose_engine(candidate, machine, wish=wish)
    form = choose.FORMAT[engine]
    if form not in described:
        described[form] = models.describe(candidate, form, planning=True)
    answer: Plan | DoesNotFitError
    try:
        answer = _plan(described[form], machine, goal, engine, reason)
    except DoesNotFitError as error:
        answer = error
    return Case(ref=ref, model=described[form], machine=machine, answer=answer)


def _plan(model: Model, machine: Machine, goal: Goal, engine: EngineName, reason: str) -> Plan:
    """As ``up`` plans: corrected by earlier starts, and in the words of the engine that is installed.

    llama.cpp's plans depend on neither, and looking its version up would take as long as the plan.
    """
    if engine == "llamacpp":
        return choose.choose(model, machine, goal, engine=engine, reason=reason)
    from llmserve import engine as engines
    from llmserve import history

    device: Device = "gpu" if parallel.usable(machine) else "cpu"
    found = engines.engine(engine).environment(device)
    found = None if found and device == "gpu" and found.device == "cpu" else found
    version, seen = found.version if found else "", history.load()
    plan = choose.choose(model, machine, goal, engine=engine, reason=reason, history=seen, engine_version=version)
    return engines.engine(engine).adapt(plan, found)
