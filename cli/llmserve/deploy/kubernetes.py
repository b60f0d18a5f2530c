"""Kubernetes: a Deployment, or a LeaderWorkerSet where a plan needs several nodes, as kustomize base and overlay."""

from __future__ import annotations

from typing import Any

from llmserve.deploy import container, images, monitoring
from llmserve.deploy.deployment import SECRETS, Deployment, File
from llmserve.deploy.objects import labels, metadata
from llmserve.deploy.yaml_text import dump

_UID = 10_001
_RENDEZVOUS = 20_000
_PERIOD = 10


def render(deployment: Deployment) -> dict[str, File]:
    """``base/`` to apply with ``kubectl apply -k``, and ``overlays/monitored`` with metrics and scaling.

    Raises:
        UsageError: the plan is not for GPUs.
    """
    deployment.needs_gpu("kubernetes")
    resources = {
        "workload.yaml": _leader_worker_set(deployment) if deployment.plan.nodes > 1 else _deployment(deployment),
        "service.yaml": _service(deployment),
        "storage.yaml": _claim(deployment),
        "disruption.yaml": _disruption(deployment),
        "network.yaml": _network(deployment),
    }
    return {
        "base/kustomization.yaml": File(text=dump(_base(deployment, list(resources)))),
        **{f"base/{name}": File(text=dump(document)) for name, document in resources.items()},
        **container.secret_files(deployment, "base/secrets"),
        **monitoring.overlay(deployment),
    }


def _base(deployment: Deployment, resources: list[str]) -> dict[str, Any]:
    files = [f"{name}=secrets/{name}" for name in container.file_names(deployment)]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "labels": [{"pairs": {"app.kubernetes.io/managed-by": "llmserve"}}],
        "resources": resources,
        "secretGenerator": [{"name": f"{deployment.name}-secrets", "files": files}],
    }


def _deployment(deployment: Deployment) -> dict[str, Any]:
    """Recreate: a second copy would need as many GPUs again while the first still holds them."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "progressDeadlineSeconds": deployment.start_seconds + 600,
            "selector": {"matchLabels": labels(deployment)},
            "template": _pod(deployment, container.command(deployment), probed=True),
        },
    }


def _leader_worker_set(deployment: Deployment) -> dict[str, Any]:
    """SGLang's multi-node mode: the leader serves, and all ranks meet at its address."""
    nodes = deployment.plan.nodes
    where = ["--dist-init-addr", f"$(LWS_LEADER_ADDRESS):{_RENDEZVOUS}", "--node-rank", "$(LWS_WORKER_INDEX)"]
    words = [*container.command(deployment), *where]
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": metadata(deployment),
        "spec": {
            "replicas": 1,
            "leaderWorkerTemplate": {
                "size": nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": _pod(deployment, words, probed=True, role="leader"),
                "workerTemplate": _pod(deployment, words, probed=False, role="worker"),
            },
        },
    }


def _pod(deployment: Deployment, words: list[str], *, probed: bool, role: str = "") -> dict[str, Any]:
    more = {"role": role} if role else {}
    return {
        "metadata": {"labels": labels(deployment) | more},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 90,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": _UID, "runAsGroup": _UID, "fsGroup": _UID,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
            },
            "nodeSelector": {"nvidia.com/gpu.product": deployment.gpu_name.replace(" ", "-")},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [_container(deployment, words, probed=probed)],
            "volumes": _volumes(deployment),
        },
    }  # fmt: skip


def _container(deployment: Deployment, words: list[str], *, probed: bool) -> dict[str, Any]:
    gpus = {"nvidia.com/gpu": str(deployment.gpus)}
    return {
        "name": "engine",
        "image": images.sglang(deployment.engine_version),
        "command": words,
        "env": [{"name": name, "value": value} for name, value in container.variables().items()],
        "ports": [{"name": "http", "containerPort": deployment.port}],
        **(_probes(deployment) if probed else {}),
        "resources": {"requests": {**_share_of_host(deployment), **gpus}, "limits": gpus},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "cache", "mountPath": container.CACHE},
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }  # fmt: skip


def _share_of_host(deployment: Deployment) -> dict[str, str]:
    """Each rank is a process with the weights' pages passing through it; /dev/shm counts as memory."""
    memory = 16 * deployment.gpus + deployment.shared_memory_gib
    return {"cpu": str(4 * deployment.gpus), "memory": f"{memory}Gi"}


def _probes(deployment: Deployment) -> dict[str, Any]:
    """``/ready`` costs nothing; ``/health`` generates a token, so it gets time, and several chances before a kill."""
    ready = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": _PERIOD, "timeoutSeconds": 5}
    alive = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 30, "timeoutSeconds": 25}
    return {
        "startupProbe": {**ready, "failureThreshold": deployment.start_seconds // _PERIOD},
        "readinessProbe": {**ready, "failureThreshold": 2},
        "livenessProbe": {**alive, "failureThreshold": 4},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}},  # endpoints forget the pod first
    }


def _volumes(deployment: Deployment) -> list[dict[str, Any]]:
    shm = {"medium": "Memory", "sizeLimit": f"{deployment.shared_memory_gib}Gi"}
    return [
        {"name": "cache", "persistentVolumeClaim": {"claimName": f"{deployment.name}-cache"}},
        {"name": "secrets", "secret": {"secretName": f"{deployment.name}-secrets", "defaultMode": 0o440}},
        {"name": "shm", "emptyDir": shm},
        {"name": "tmp", "emptyDir": {}},
    ]


def _service(deployment: Deployment) -> dict[str, Any]:
    leader = {"role": "leader"} if deployment.plan.nodes > 1 else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment),
        "spec": {
            "type": "ClusterIP",
            "selector": labels(deployment) | leader,
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def _claim(deployment: Deployment) -> dict[str, Any]:
    mode = "ReadWriteMany" if deployment.plan.nodes > 1 else "ReadWriteOnce"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(deployment, "-cache"),
        "spec": {
            "accessModes": [mode],
            "resources": {"requests": {"storage": f"{deployment.disk_gib}Gi"}},
        },
    }


def _disruption(deployment: Deployment) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployment),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(deployment)}},
    }


def _network(deployment: Deployment) -> dict[str, Any]:
    """In: the API from this namespace, anything among the ranks. Out: names and the hub, for the weights."""
    ranks = [{"from": [{"podSelector": {"matchLabels": labels(deployment)}}]}] if deployment.plan.nodes > 1 else []
    peers = [{"to": [{"podSelector": {"matchLabels": labels(deployment)}}]}] if deployment.plan.nodes > 1 else []
    dns = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployment),
        "spec": {
            "podSelector": {"matchLabels": labels(deployment)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": deployment.port}]}, *ranks],
            "egress": [{"ports": dns}, {"ports": [{"port": 443}]}, *peers],
        },
    }
