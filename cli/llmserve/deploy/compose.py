"""``docker compose``: one engine, and by profile its monitoring and SGLang's gateway."""

from __future__ import annotations

from typing import Any

from llmserve.deploy import container, images, monitoring
from llmserve.deploy.deployment import SECRETS, Deployment, File
from llmserve.deploy.yaml_text import dump

_HARDENED: dict[str, Any] = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def render(deployment: Deployment) -> dict[str, File]:
    """``compose.yaml`` with its secrets and its monitoring's configuration.

    Raises:
        UsageError: the plan is not for GPUs of one machine.
    """
    deployment.needs_gpu("compose")
    deployment.one_node("compose")
    names = container.file_names(deployment)
    project = {
        "name": deployment.name,
        "services": {
            "engine": _engine(deployment, names),
            "prometheus": _prometheus(),
            "grafana": _grafana(),
            "gateway": _gateway(deployment),
        },
        "secrets": {name.replace(".", "-"): {"file": f"./secrets/{name}"} for name in names},
        "volumes": {"cache": {}, "metrics": {}, "dashboards": {}},
    }
    return {
        "compose.yaml": File(text=dump(project)),
        **container.secret_files(deployment, "secrets"),
        **monitoring.compose_files(deployment),
    }


def _engine(deployment: Deployment, names: list[str]) -> dict[str, Any]:
    port = deployment.port
    return {
        "image": images.sglang(deployment.engine_version),
        "command": container.command(deployment),
        "environment": container.variables(),
        "ports": [f"127.0.0.1:{port}:{port}"],
        "volumes": [f"cache:{container.CACHE}"],
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "read_only": True,
        "shm_size": f"{deployment.shared_memory_gib}gb",
        "ulimits": {"memlock": -1, "stack": 67_108_864, "nofile": 1_048_576},
        "secrets": [{"source": name.replace(".", "-"), "target": f"{SECRETS}/{name}"} for name in names],
        "healthcheck": _health(deployment),
        "restart": "unless-stopped",
        "stop_grace_period": "60s",
        **_HARDENED,
        "deploy": {"resources": {"reservations": {"devices": [_devices(deployment)]}}},
    }


def _devices(deployment: Deployment) -> dict[str, Any]:
    """GPUs by UUID where the plan is for this very machine; profiles have made-up ones, of which the index counts."""
    ids = [gpu.uuid if gpu.uuid.startswith("GPU-") else str(gpu.index) for gpu in deployment.plan.gpus]
    return {"driver": "nvidia", "device_ids": ids, "capabilities": ["gpu"]}


def _health(deployment: Deployment) -> dict[str, Any]:
    test = ["CMD", *container.ready_test(deployment.port)]
    return {
        "test": test, "interval": "15s", "timeout": "10s", "retries": 3,
        "start_period": f"{deployment.start_seconds}s",
    }  # fmt: skip


def _prometheus() -> dict[str, Any]:
    return {
        "image": images.PROMETHEUS, "profiles": ["monitoring"], "restart": "unless-stopped", **_HARDENED,
        "ports": ["127.0.0.1:9090:9090"],
        "volumes": ["./monitoring/prometheus.yml:/etc/prometheus/prometheus.yml:ro", "metrics:/prometheus"],
    }  # fmt: skip


def _grafana() -> dict[str, Any]:
    provisioning = "/etc/grafana/provisioning"
    return {
        "image": images.GRAFANA, "profiles": ["monitoring"], "restart": "unless-stopped", **_HARDENED,
        "ports": ["127.0.0.1:3000:3000"],
        "volumes": [
            f"./monitoring/datasource.yaml:{provisioning}/datasources/llmserve.yaml:ro",
            f"./monitoring/provider.yaml:{provisioning}/dashboards/llmserve.yaml:ro",
            "./monitoring/dashboard.json:/var/lib/grafana/dashboards/llmserve.json:ro",
            "dashboards:/var/lib/grafana",
        ],
    }  # fmt: skip


def _gateway(deployment: Deployment) -> dict[str, Any]:
    """In front of one engine it changes little; it is where a second one would be added."""
    worker = f"http://engine:{deployment.port}"
    return {
        "image": images.GATEWAY, "profiles": ["gateway"], "restart": "unless-stopped", **_HARDENED,
        "command": ["--host", "0.0.0.0", "--port", "8080", "--worker-urls", worker],  # noqa: S104 - inside a container
        "ports": ["127.0.0.1:8080:8080"], "depends_on": {"engine": {"condition": "service_healthy"}},
    }  # fmt: skip
