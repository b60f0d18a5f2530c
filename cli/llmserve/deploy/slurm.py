"""A batch script for Slurm: ``llmserve up`` on one node, SGLang's own multi-node mode on several."""

from __future__ import annotations

import shlex

from llmserve.deploy import text
from llmserve.deploy.deployment import Deployment, File
from llmserve.engine.base import PRIVATE_DIR

_RENDEZVOUS = 20_000


def render(deployment: Deployment) -> dict[str, File]:
    """``NAME.sbatch``, to be submitted with ``sbatch``."""
    nodes = deployment.plan.nodes
    script = text.render(
        "slurm.sbatch.j2",
        name=deployment.name,
        nodes=nodes,
        gpus=deployment.gpus,
        minutes=-(-deployment.start_seconds // 60),
        port=deployment.port,
        rendezvous=_RENDEZVOUS,
        own=shlex.join(deployment.own),
        engine=_engine(deployment) if nodes > 1 else "",
        files=deployment.launch.files if nodes > 1 else {},
    )
    return {f"{deployment.name}.sbatch": File(text=script, executable=True)}


def _engine(deployment: Deployment) -> str:
    """The engine's words inside a script; the key's file stands in the folder ``$private`` that the script makes."""
    return " ".join(_word(word) for word in deployment.launch.argv)


def _word(word: str) -> str:
    before, private, after = word.partition(PRIVATE_DIR)
    return f'{before and shlex.quote(before)}"$private"{shlex.quote(after)}' if private else shlex.quote(word)
