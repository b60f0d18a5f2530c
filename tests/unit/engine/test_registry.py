"""Records on disk against processes that are alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve import paths
from llmserve.engine import registry
from llmserve.engine.process import Identity, end, tree, wait_gone
from llmserve.engine.server import Server
from llmserve.errors import UsageError
from tests.fakes.plans import on_the_cpu


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "servers_dir", lambda: tmp_path / "servers")


def record(name: str = "tiny", **changes: object) -> Server:
    folder = paths.private_dir(paths.servers_dir() / name)
    server = Server(
        name=name, directory=str(folder), url="http://127.0.0.1:1/v1", host="127.0.0.1", port=1, model="tiny",
        engine="llamacpp", engine_version="1", keeper=Identity.of(os.getpid()), state="ready",
        plan=on_the_cpu(),
    )  # fmt: skip
    server = replace(server, **changes)  # type: ignore[arg-type]
    registry.write(server)
    return server


def test_a_record_is_read_back_whole() -> None:
    server = record()
    assert registry.servers() == [server]
    assert registry.get("tiny") == server


def test_a_server_whose_keeper_is_gone_has_died() -> None:
    record(keeper=replace(Identity.of(os.getpid()), started=1.0))
    assert registry.servers()[0].state == "died"
    assert registry.running() == []


def test_an_unknown_name_lists_those_that_exist() -> None:
    record()
    with pytest.raises(UsageError) as caught:
        registry.get("nope")
    assert "tiny" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1}', '{"version": 2}'])
def test_a_broken_or_newer_record_is_passed_over(text: str) -> None:
    record("good")
    (paths.private_dir(paths.servers_dir() / "bad") / registry.RECORD).write_text(text)
    assert [server.name for server in registry.servers()] == ["good"]


def test_records_are_private() -> None:
    server = record()
    assert (Path(server.directory) / registry.RECORD).stat().st_mode & 0o777 == 0o600
    assert json.loads((Path(server.directory) / registry.RECORD).read_text())["name"] == "tiny"


def test_a_record_that_names_another_folder_is_nobodys(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    server = record()
    text = (Path(server.directory) / registry.RECORD).read_text().replace(server.directory, str(precious))
    (Path(server.directory) / registry.RECORD).write_text(text)
    assert registry.servers() == []


def test_only_its_own_record_is_removed() -> None:
    old = record(keeper=replace(Identity.of(os.getpid()), started=1.0))
    new = record()
    registry.remove(old)
    assert registry.servers() == [new]
    registry.remove(new)
    assert registry.servers() == []


def test_a_folder_whose_keeper_lives_is_not_given_away_whatever_its_record_says() -> None:
    server = record()
    with registry.hold(Path(server.directory)):
        (Path(server.directory) / registry.RECORD).write_text("{")
        assert registry.claim(None, "tiny")[0] == "tiny-2"
        with pytest.raises(UsageError):
            registry.claim("tiny", "tiny")
    assert registry.claim(None, "tiny")[0] == "tiny"


def test_names_are_numbered_when_taken_and_reused_when_free() -> None:
    assert registry.claim(None, "org/My Model!")[0] == "my-model"
    record("my-model")
    assert registry.claim(None, "org/My Model!")[0] == "my-model-2"


@pytest.mark.parametrize("name", ["../x", "A", "", "a/b", "x" * 70, ".hidden"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        registry.claim(name, "m")


def test_a_running_servers_name_is_not_given_away() -> None:
    record("mine")
    with pytest.raises(UsageError, match="is running"):
        registry.claim("mine", "m")


def test_ending_a_tree_ends_its_grandchildren() -> None:
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        identity = Identity.of(parent.pid)
        while len(tree(identity.process())) < 2:
            pass
        family = [Identity.of(member.pid) for member in tree(identity.process())]
        end(identity.process(), grace=5)
    assert all(wait_gone(member, timeout=5) for member in family)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = Identity.of(child.pid)
    assert wait_gone(identity, timeout=5)
    child.wait()
