"""What the probe reports of real servers and routers is what ships as their profiles: a verdict that moves is news."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Cli
from tests.engine.test_probe_engines import ALL, moved, probed
from tests.peers import serving
from tests.peers.serving import Peer

pytestmark = pytest.mark.engine

ROUTED = ("--only", "auth", "--only", "models", "--only", "chat", "--only", "streaming", "--timeout", "300")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A llama.cpp server for routers to stand in front of."""
    cli = Cli(tmp_path_factory.mktemp("behind"))
    up = cli.json("up", "tiny", "--engine", "llamacpp", "-d", "--port", "0", "--concurrency", "4", "--context", "2048")
    assert up["status"] == "ok", up
    yield Peer(name="llamacpp", base_url=up["data"]["url"], model="tiny")
    assert cli.json("down", "--all")["status"] == "ok"
    cli.clean()


def test_sglang_is_reported_as_recorded(server: dict[str, Any], cli: Cli) -> None:
    if server["engine"] != "sglang":
        pytest.skip("its two runs are compared with the recording in test_probe_engines")
    assert moved(probed(cli, server["url"], *ALL), "sglang-0.5.23") == {}


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
