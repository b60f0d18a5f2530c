"""What all Kubernetes objects of a deployment have in common."""

from __future__ import annotations

from typing import Any

from llmserve.deploy.deployment import Deployment


def labels(deployment: Deployment) -> dict[str, str]:
    return {"app.kubernetes.io/name": "sglang", "app.kubernetes.io/instance": deployment.name}


def metadata(deployment: Deployment, suffix: str = "") -> dict[str, Any]:
    return {"name": f"{deployment.name}{suffix}", "labels": labels(deployment)}
