"""A hardened unit that runs ``llmserve up`` with the wishes of this plan; it tells systemd when it is ready."""

from __future__ import annotations

import shlex

from llmserve.deploy import text
from llmserve.deploy.deployment import Deployment, File


def render(deployment: Deployment) -> dict[str, File]:
    """``llmserve-NAME.service``.

    Raises:
        UsageError: the plan needs several machines.
    """
    deployment.one_node("systemd")
    unit = text.render(
        "systemd.service.j2",
        name=deployment.name,
        model=deployment.model,
        command=_quoted(deployment.own),
        start_seconds=deployment.start_seconds,
        gpus=bool(deployment.plan.gpus),
    )
    return {f"llmserve-{deployment.name}.service": File(text=unit)}


def _quoted(words: tuple[str, ...]) -> str:
    """Words of ExecStart=: ``%`` and ``$`` mean something to systemd (systemd.service(5))."""
    return " ".join(shlex.quote(word).replace("%", "%%").replace("$", "$$") for word in words)
