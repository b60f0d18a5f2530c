"""Prometheus and Grafana for a deployment, and scaling by the queue; the metric names are the endpoint's vocabulary."""

from __future__ import annotations

import json
from typing import Any

from llmserve.deploy import dashboard
from llmserve.deploy.deployment import Deployment, File
from llmserve.deploy.objects import labels, metadata
from llmserve.deploy.yaml_text import dump
from llmserve.endpoint.metrics.vocabulary import dialect

_QUEUE_PER_REPLICA = 8
_MOST_REPLICAS = 4


def compose_files(deployment: Deployment) -> dict[str, File]:
    """Configuration for the monitoring profile of ``compose.yaml``. ``/metrics`` needs no key."""
    targets = [{"targets": [f"engine:{deployment.port}"], "labels": {"model": deployment.model}}]
    scrape = {
        "global": {"scrape_interval": "5s"},
        "scrape_configs": [{"job_name": deployment.name, "static_configs": targets}],
    }
    source = {
        "apiVersion": 1,
        "datasources": [
            {"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "url": "http://prometheus:9090",
             "access": "proxy", "isDefault": True},
        ],
    }  # fmt: skip
    provider = {
        "apiVersion": 1,
        "providers": [
            {"name": "llmserve", "type": "file", "options": {"path": "/var/lib/grafana/dashboards"}},
        ],
    }
    return {
        "monitoring/prometheus.yml": File(text=dump(scrape)),
        "monitoring/datasource.yaml": File(text=dump(source)),
        "monitoring/provider.yaml": File(text=dump(provider)),
        "monitoring/dashboard.json": File(text=json.dumps(dashboard.board(), indent=2) + "\n"),
    }


def overlay(deployment: Deployment) -> dict[str, File]:
    """For clusters with the Prometheus operator and KEDA: what scrapes the engine, and what adds copies of it."""
    resources = {"servicemonitor.yaml": _service_monitor(deployment)}
    if deployment.plan.nodes == 1:
        resources["scaledobject.yaml"] = _scaled_object(deployment)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base", *resources],
    }
    files = {"kustomization.yaml": kustomization, **resources}
    board = {"overlays/monitored/dashboard.json": File(text=json.dumps(dashboard.board(), indent=2) + "\n")}
    return {f"overlays/monitored/{name}": File(text=dump(one)) for name, one in files.items()} | board


def _service_monitor(deployment: Deployment) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(deployment),
        "spec": {
            "selector": {"matchLabels": labels(deployment)},
            "endpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
        },
    }


def _scaled_object(deployment: Deployment) -> dict[str, Any]:
    """Copies by requests that wait: a GPU's load says nothing about them. A copy claims as many GPUs as the first."""
    queued = dialect("sglang").queued[0].names[0]
    trigger = {
        "type": "prometheus",
        "metadata": {
            "serverAddress": "http://prometheus-operated.monitoring.svc:9090",
            "query": f'sum({queued}{{service="{deployment.name}"}})',
            "threshold": str(_QUEUE_PER_REPLICA),
        },
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(deployment),
        "spec": {
            "scaleTargetRef": {"name": deployment.name},
            "minReplicaCount": 1,
            "maxReplicaCount": _MOST_REPLICAS,
            "cooldownPeriod": deployment.start_seconds,
            "triggers": [trigger],
        },
    }
