"""Container images, each pinned to a release."""

from __future__ import annotations

PROMETHEUS = "prom/prometheus:v3.5.0"
GRAFANA = "grafana/grafana:12.1.1"
GATEWAY = "lmsysorg/sgl-model-gateway:v0.3.2"


def sglang(version: str) -> str:
    """SGLang's own image of a release; its default CUDA is 13."""
    return f"lmsysorg/sglang:v{version}"
