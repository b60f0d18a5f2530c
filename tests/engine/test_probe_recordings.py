"""What the probe reports of real servers and routers is what ships as their profiles: a verdict that moves is news."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.probe.report.stored import load
from tests.engine.conftest import Cli
from tests.engine.test_probe_engines import CLOCK, probed
from tests.peers import serving
from tests.peers.serving import Peer

pytestmark = pytest.mark.engine

SHIPPED = {"sglang": "sglang-0.5.23", "llamacpp": "llama.cpp-b11549"}
ALL = ("--skip", "sdk", "--timeout", "300")
ROUTED = ("--only", "auth", "--only", "models", "--only", "chat", "--only", "streaming", "--timeout", "300")
UNSURE = ("inconclusive", "skipped")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A llama.cpp server for routers to stand in front of."""
    cli = Cli(tmp_path_factory.mktemp("behind"))
    up = cli.json("up", "tiny", "--engine", "llamacpp", "-d", "--port", "0", "--concurrency", "4", "--context", "2048")
    assert up["status"] == "ok", up
    yield Peer(name="llamacpp", base_url=up["data"]["url"], model="tiny")
    assert cli.json("down", "--all")["status"] == "ok"
    cli.clean()


def moved(found: dict[str, dict[str, Any]], name: str) -> dict[str, tuple[str, str, str]]:
    """Verdicts that are not those of the profile; what one side could not judge is no news."""
    shipped = {check["id"]: check["verdict"] for check in load(name)["checks"]}
    assert len(found.keys() & shipped.keys()) > 0.95 * len(found), f"{name} knows too few of the checks: record it anew"
    pairs = {one: (shipped[one], check["verdict"], check["saw"]) for one, check in found.items() if one in shipped}
    return {
        one: pair for one, pair in pairs.items()
        if pair[0] != pair[1] and one not in CLOCK and not {pair[0], pair[1]} & set(UNSURE)
    }  # fmt: skip


def test_an_engine_is_reported_as_recorded(server: dict[str, Any], cli: Cli) -> None:
    assert moved(probed(cli, server["url"], *ALL), SHIPPED[server["engine"]]) == {}


def test_vllm_is_reported_as_recorded(cli: Cli, tmp_path: Path) -> None:
    serving.require("vllm")
    with serving.vllm(tmp_path, api_key="sk-of-this-test") as peer:
        found = probed(cli, peer.base_url, *ALL, key=peer.api_key)
    assert moved(found, "vllm-0.32.0") == {}


def test_litellm_is_reported_as_recorded(behind: Peer, cli: Cli, tmp_path: Path) -> None:
    serving.require("litellm")
    with serving.litellm(tmp_path, behind) as router:
        found = probed(cli, router.base_url, *ROUTED, key=router.api_key)
    assert found["auth.none"]["verdict"] == "fail", "its refusals are no 401"
    assert found["models.retrieve"]["verdict"] == "pass", "which llama.cpp alone does not"
    assert moved(found, "litellm-1.106.0-llama.cpp") == {}


def test_the_router_of_sglang_is_reported_as_recorded(behind: Peer, cli: Cli, tmp_path: Path) -> None:
    serving.require("sglang-router")
    with serving.sglang_router(tmp_path, [behind]) as router:
        found = probed(cli, router.base_url, *ROUTED)
    assert moved(found, "sglang-router-0.3.2-llama.cpp") == {}


def test_transformers_serve_ignores_logprobs_and_formats(cli: Cli, tmp_path: Path) -> None:
    serving.require("transformers")
    words = ("--only", "param.logprobs", "--only", "structured.*", "--only", "chat", "--timeout", "120")
    with serving.transformers(tmp_path) as peer:
        found = probed(cli, peer.base_url, "--model", peer.model, *words)
    assert found["param.logprobs"]["verdict"] == "ignored"
    assert found["structured.object"]["verdict"] in ("fail", "ignored")
    assert found["structured.schema"]["verdict"] in ("fail", "ignored")
    assert moved(found, "transformers-5.19.0") == {}
