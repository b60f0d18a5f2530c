"""SkyPilot: a task, and a service with as many replicas as load asks for."""

from __future__ import annotations

import re
import shlex
from typing import Any

from llmserve.deploy import container, images
from llmserve.deploy.deployment import SECRETS, Deployment, File
from llmserve.deploy.yaml_text import dump
from llmserve.engine.base import PRIVATE_DIR

_CLOUD_NAMES = {
    "H100": "H100", "H200": "H200", "A100": "A100", "L40S": "L40S", "L4": "L4", "A10G": "A10G", "B200": "B200",
    "RTX 4090": "RTX4090", "RTX 5090": "RTX5090", "MI300X": "MI300X",
}  # fmt: skip


def render(deployment: Deployment) -> dict[str, File]:
    """``task.yaml`` for ``sky launch`` and ``service.yaml`` for ``sky serve up``.

    Raises:
        UsageError: the plan is not for GPUs of one machine.
    """
    deployment.needs_gpu("skypilot")
    deployment.one_node("skypilot")
    task = _task(deployment)
    return {"task.yaml": File(text=dump(task)), "service.yaml": File(text=dump(_service(deployment) | task))}


def _task(deployment: Deployment) -> dict[str, Any]:
    command = shlex.join(container.command(deployment)).replace(SECRETS, '"$HOME"/.llmserve')
    return {
        "name": deployment.name,
        "resources": {
            "accelerators": f"{accelerator(deployment.gpu_name)}:{deployment.gpus}",
            "image_id": f"docker:{images.sglang(deployment.engine_version)}",
            "disk_size": max(100, deployment.disk_gib + 50),
            "ports": deployment.port,
        },
        "secrets": {"LLMSERVE_API_KEY": None, "HF_TOKEN": ""},
        "run": _run(deployment, command),
    }


def _run(deployment: Deployment, command: str) -> str:
    """The key comes as a secret of the task and goes to a file: an argument would be seen by everybody on the node."""
    lines = ["set -eu", "umask 077", 'mkdir -p "$HOME"/.llmserve']
    for name, text in deployment.launch.files.items():
        before, _, after = text.replace(PRIVATE_DIR, "").partition(container.PLACEHOLDER)
        words = f'{shlex.quote(before)} "$LLMSERVE_API_KEY" {shlex.quote(after.rstrip())}'
        lines.append(f'printf "%s%s%s\\n" {words} > "$HOME"/.llmserve/{name}')
    return "\n".join([*lines, f"exec {command}", ""])


def _service(deployment: Deployment) -> dict[str, Any]:
    probe = {"path": "/ready", "initial_delay_seconds": deployment.start_seconds}
    policy = {"min_replicas": 1, "max_replicas": 4, "target_qps_per_replica": 4}
    return {"service": {"readiness_probe": probe, "replica_policy": policy}}


def accelerator(gpu: str) -> str:
    """SkyPilot's name of a GPU: ``NVIDIA H100 80GB HBM3`` is ``H100``, an A100 of 80 GB ``A100-80GB``."""
    found = next((cloud for name, cloud in _CLOUD_NAMES.items() if re.search(rf"\b{re.escape(name)}\b", gpu)), gpu)
    return f"{found}-80GB" if found == "A100" and "80GB" in gpu else found
