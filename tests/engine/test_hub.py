"""From a hub to a running server: headers first, then the weights, then nothing of the hub any more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import huggingface_hub
import pytest

from llmserve import models
from tests.engine.conftest import Cli
from tests.fakes.hub import FakeHub, Repo, folder
from tests.fakes.scripted import black_hole

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    built = models.fetch(models.describe(models.resolve("tiny"), "gguf"))
    gguf = {"tiny.gguf": built.read_bytes()}
    safetensors = {name: text for name, text in folder(built.parent).items() if not name.endswith(".gguf")}
    repos = {
        "org/tiny-GGUF": Repo(gguf),
        "org/tiny": Repo(safetensors),
        "org/locked-GGUF": Repo(gguf, readers={"hf_right"}),
    }
    with FakeHub(repos, tokens={"hf_right", "hf_other"}) as running:
        yield running


@pytest.fixture
def online(cli: Cli, hub: FakeHub) -> Cli:
    cli.env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(cli.home / "hf"), "HF_TOKEN": "", "HF_HUB_DISABLE_XET": "1"}
    return cli


def test_a_repository_is_described_fetched_served_and_served_again_without_the_hub(online: Cli, hub: FakeHub) -> None:
    first = online.json("up", "org/tiny-GGUF", "-d", "--port", "0")
    assert first["status"] == "ok", first
    assert first["data"]["model"] == "org/tiny-GGUF"
    assert online.run("down").returncode == 0
    assert sum(hub.served.values()) >= len(hub.repos["org/tiny-GGUF"].files["tiny.gguf"])
    asked = len(hub.requests)
    online.env |= {"HF_HUB_OFFLINE": "1"}
    again = online.json("up", "org/tiny-GGUF", "-d", "--port", "0")
    assert again["status"] == "ok", again
    assert online.run("down").returncode == 0
    assert len(hub.requests) == asked


def test_a_cached_model_starts_as_fast_without_a_hub_as_offline(online: Cli, hub: FakeHub) -> None:
    """Whatever tool cached it. A hub that swallows everything costs no time, since it is not asked."""
    huggingface_hub.snapshot_download("org/tiny-GGUF", cache_dir=online.home / "hf" / "hub", endpoint=hub.url)
    asked = len(hub.requests)

    def took(**env: str) -> float:
        online.env |= env
        began = time.monotonic()
        started = online.json("up", "org/tiny-GGUF", "-d", "--port", "0")
        ended = time.monotonic()
        assert started["status"] == "ok", started
        assert online.run("down").returncode == 0
        return ended - began

    took()  # what a first start builds is there afterwards
    assert len(hub.requests) == asked
    offline = took(HF_HUB_OFFLINE="1")
    with black_hole() as url:
        assert took(HF_HUB_OFFLINE="", HF_ENDPOINT=url) < offline + 1


def test_a_plan_fetches_headers_alone(online: Cli, hub: FakeHub) -> None:
    before = sum(hub.served.values())
    plan = online.json("up", "org/tiny", "--dry-run", "--machine", "h100")
    assert plan["status"] == "ok", plan
    assert plan["data"]["plan"]["engine"] == "sglang"
    assert not list((online.home / "hf").rglob("*.safetensors"))
    assert sum(hub.served.values()) - before < 200_000


@pytest.mark.parametrize(("token", "says"), [("", "HF_TOKEN"), ("hf_other", "licence")])
def test_a_gated_model_says_what_to_do(online: Cli, token: str, says: str) -> None:
    online.env |= {"HF_TOKEN": token}
    done = online.run("up", "org/locked-GGUF")
    assert done.returncode == 4, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert token not in done.stderr or not token


def test_a_name_that_the_hub_does_not_know(online: Cli) -> None:
    done = online.run("up", "org/nothing", "--json")
    body = json.loads(done.stdout)
    assert done.returncode == body["exit_code"] == 2
    assert "org/nothing" in body["errors"][0]["message"]
