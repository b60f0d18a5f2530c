"""The targets of ``llmserve export``."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.deploy import compose, kubernetes, skypilot, slurm, systemd
from llmserve.deploy.deployment import Target

__all__ = ["TARGETS", "Entry"]


@dataclass(frozen=True)
class Entry:
    """A target: what renders it, where its engine runs, and what to type next (``{}``: the folder).

    ``reached``: from other machines, or from outside its container, so that it listens everywhere and has a key.
    """

    render: Target
    container: bool
    reached: bool
    then: str


_INSTALL_UNIT = "sudo cp {}/*.service /etc/systemd/system/; sudo systemctl daemon-reload"

TARGETS: dict[str, Entry] = {
    "systemd": Entry(systemd.render, False, False, _INSTALL_UNIT),
    "compose": Entry(compose.render, True, True, "docker compose -f {}/compose.yaml up -d --wait"),
    "kubernetes": Entry(kubernetes.render, True, True, "kubectl apply -k {}/base"),
    "slurm": Entry(slurm.render, False, True, "sbatch {}/*.sbatch"),
    "skypilot": Entry(skypilot.render, True, True, "sky launch {}/task.yaml"),
}
