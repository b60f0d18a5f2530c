"""``llmserve probe`` on real servers and a real router, all on random weights: what is known of them must come out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.probe.checks import catalogue
from llmserve.probe.report.stored import load
from tests.engine.conftest import Cli
from tests.peers import serving
from tests.peers.serving import Peer

pytestmark = pytest.mark.engine

CLOCK = (
    "transport.disconnect", "stream.closes", "stream.incremental", "transport.keepalive.stream",
    "param.n.usage", "param.n.stream", "stream.chunk.created",
)  # fmt: skip
"""Verdicts that depend on the clock, or on which of several answers llama.cpp's slots have ready first.

llama.cpp stamps each chunk anew, so that a second may pass within a stream.
"""


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    serving.require("vllm")
    with serving.vllm(tmp_path_factory.mktemp("vllm"), api_key="sk-of-this-test") as peer:
        yield peer


def probed(cli: Cli, url: str, *words: str, key: str | None = None) -> dict[str, dict[str, Any]]:
    """The checks of a run, by id."""
    cli.env["OPENAI_API_KEY"] = key or "none"
    body = cli.json("probe", "--base-url", url, *words, timeout=1200)
    return {check["id"]: check for check in body["data"]["checks"]}


ALL = ("--skip", "sdk", "--timeout", "300")
UNSURE = ("inconclusive", "skipped")


def verdicts(checks: dict[str, dict[str, Any]], *names: str) -> list[str]:
    return [checks[name]["verdict"] for name in names]


def moved(found: dict[str, dict[str, Any]], name: str) -> dict[str, tuple[str, str, str]]:
    """Verdicts that are not those of the profile, which was recorded on another machine.

    What one side could not judge is no news, nor what looks back on a run of which this one is a part. Nor is one
    verdict in a hundred, if no client breaks by it: other processors round otherwise, and then the model says something
    else to judge by.
    """
    shipped = {check["id"]: check["verdict"] for check in load(name)["checks"]}
    assert len(found.keys() & shipped.keys()) > 0.8 * len(found), f"{name} knows too few of the checks: record it anew"
    in_part = len(found) < 0.8 * len(shipped)
    known = found.keys() & shipped.keys() - ({check.id for check in catalogue() if check.last} if in_part else set())
    pairs = {one: (shipped[one], found[one]["verdict"], found[one]["saw"]) for one in sorted(known)}
    news = {
        one: pair for one, pair in pairs.items()
        if pair[0] != pair[1] and one not in CLOCK and not {pair[0], pair[1]} & set(UNSURE)
    }  # fmt: skip
    few = len(news) <= max(2, 0.01 * len(found))
    return {} if few and all(found[one]["severity"] != "breaks" for one in news) else news


ENVELOPES = ("--only", "models", "--only", "error.*")


def test_what_is_known_of_sglang_and_llamacpp_comes_out(server: dict[str, Any], cli: Cli) -> None:
    found = probed(cli, server["url"], *ENVELOPES)
    assert found["error.model.unknown"]["verdict"] == "fail", "both answer in the name of any model"
    if server["engine"] == "sglang":
        assert verdicts(found, "error.envelope", "models.retrieve") == ["fail", "pass"]
        assert '"object":"error"' in found["error.envelope"]["saw"]
    else:
        assert verdicts(found, "error.envelope", "models.retrieve") == ["pass", "fail"]


def test_what_is_known_of_vllm_comes_out(vllm: Peer, cli: Cli) -> None:
    found = probed(cli, vllm.base_url, *ENVELOPES, "--only", "auth.*", key=vllm.api_key)
    assert verdicts(found, "models.retrieve", "error.model.unknown", "error.envelope") == ["fail", "pass", "pass"]
    assert verdicts(found, "auth.envelope", "auth.wrong") == ["fail", "pass"]


def test_vllm_is_reported_as_recorded(vllm: Peer, cli: Cli) -> None:
    assert moved(probed(cli, vllm.base_url, *ALL, key=vllm.api_key), "vllm-0.32.0") == {}


def test_a_router_changes_what_clients_see(cli: Cli, tmp_path: Path) -> None:
    """SGLang's router in front of llama.cpp: it has other errors, ids of its own, and forgets the name of the model."""
    serving.require("sglang-router")
    up = cli.json("up", "tiny", "--engine", "llamacpp", "-d", "--port", "0", "--concurrency", "4", "--context", "2048")
    assert up["status"] == "ok", up
    direct = Peer(name="llamacpp", base_url=up["data"]["url"], model="tiny")
    words = (*ENVELOPES, "--only", "transport.request_id")
    before = probed(cli, direct.base_url, *words)
    with serving.sglang_router(tmp_path, [direct]) as router:
        after = probed(cli, router.base_url, *words)
    assert cli.json("down", "--all")["status"] == "ok"
    assert (before["error.route"]["verdict"], after["error.route"]["verdict"]) == ("pass", "fail")
    assert (before["transport.request_id"]["verdict"], after["transport.request_id"]["verdict"]) == ("fail", "pass")


def test_two_runs_on_one_server_give_the_same_verdicts(cli: Cli) -> None:
    up = cli.json("up", "tiny", "--engine", "llamacpp", "-d", "--port", "0", "--concurrency", "4", "--context", "2048")
    first, second = (probed(cli, up["data"]["url"], *ALL) for _ in range(2))
    assert cli.json("down", "--all")["status"] == "ok"
    assert len(first) > 400
    assert moved(first, "llama.cpp-b11549") == {}, "what ships is what is there"
    differ = {name for name in first if first[name]["verdict"] != second[name]["verdict"]} - set(CLOCK)
    unsure = {name for name in differ if "inconclusive" in (first[name]["verdict"], second[name]["verdict"])}
    assert differ == unsure, {name: (first[name], second[name]) for name in differ - unsure}
    assert len(unsure) <= 0.02 * len(first)
