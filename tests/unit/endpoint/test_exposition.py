"""Our parser of the Prometheus text format against the one of Prometheus' own client."""

from __future__ import annotations

from pathlib import Path

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from llmserve.endpoint.metrics.exposition import parse

PAGES = sorted((Path(__file__).parents[2] / "recordings/metrics").glob("*.txt"))


def ours(text: str) -> list[tuple[str, dict[str, str], str]]:
    return [(one.name, one.labels, repr(one.value)) for one in parse(text)]


def theirs(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Without the types, by which that parser adds ``_total`` to counters that are not called so (llama.cpp's)."""
    untyped = "\n".join(line for line in text.split("\n") if not line.startswith("# TYPE"))
    families = text_string_to_metric_families(untyped)
    return [(one.name, one.labels, repr(float(one.value))) for family in families for one in family.samples]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_recorded_pages(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert ours(text) == theirs(text)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"))


@settings(max_examples=50)
@given(values=st.lists(_TEXT, min_size=1, max_size=3, unique=True), number=st.floats())
def test_whatever_labels_hold(values: list[str], number: float) -> None:
    registry = CollectorRegistry()
    gauge = prometheus_client.Gauge("one", "help", ["a", "b"], registry=registry)
    for value in values:
        gauge.labels(value, "x").set(number)
    text = generate_latest(registry).decode()
    assert ours(text) == theirs(text)
    assert [labels["a"] for _, labels, _ in ours(text)] == values


@pytest.mark.parametrize(
    "line",
    ['x{a="}"} 1', "x 1 1700000000000", "x{} 1", 'x { a = "1" , b="2", } 1', "x +Inf", 'x{a="\\\\"} -1.5e-3', "x\t1"],
)
def test_odd_lines(line: str) -> None:
    assert ours(line) == theirs(line)


def test_openmetrics_has_more() -> None:
    text = 'x_total{a="1"} 5 # {trace_id="abc"} 0.67\n# EOF\n'
    assert ours(text) == [("x_total", {"a": "1"}, "5.0")]
