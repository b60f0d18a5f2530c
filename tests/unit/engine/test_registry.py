"""Records on disk against processes that are alive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve import paths
from llmserve.engine import registry
from llmserve.engine.place import place
from llmserve.engine.process import Identity, end, tree, wait_gone
from llmserve.engine.server import Server
from llmserve.errors import LlmserveError, UsageError
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


HERE = place()
THERE = replace(HERE, host="other", machine="f" * 32)


def test_a_server_of_another_machine_is_neither_running_nor_dead() -> None:
    there = replace(Identity.of(os.getpid()), boot="another")
    record(place=THERE, keeper=there)
    assert [server.state for server in registry.servers()] == ["elsewhere"]
    assert registry.running() == []
    with pytest.raises(UsageError):
        registry.claim("tiny", "m")
    assert registry.claim(None, "tiny")[0] == "tiny-2"


def test_a_server_of_another_container_on_this_kernel_lives_if_its_lock_is_held() -> None:
    server = record(place=THERE)
    assert registry.servers()[0].state == "died"
    with registry.hold(Path(server.directory)):
        assert registry.servers()[0].state == "elsewhere"


def test_a_server_from_before_the_last_boot_has_died() -> None:
    record(place=replace(HERE, pids="before"), keeper=replace(Identity.of(os.getpid()), boot="before"))
    assert registry.servers()[0].state == "died"


def test_a_live_server_whose_record_is_damaged_or_newer_is_shown_as_a_stray() -> None:
    server = record()
    assert registry.strays() == []
    with registry.hold(Path(server.directory)):
        (Path(server.directory) / registry.RECORD).write_text('{"version": 99}')
        (stray,) = registry.strays()
        assert (stray.name, stray.keeper) == ("tiny", Identity.of(os.getpid()))
        registry.remove_stray(stray)
        assert Path(server.directory).is_dir()
    assert registry.strays() == []
    registry.remove_stray(stray)
    assert not Path(server.directory).exists()


@pytest.mark.parametrize("damage", ["", "{", '{"version": 2}', None])
def test_a_keeper_mends_its_record(damage: str | None) -> None:
    server = record()
    file = Path(server.directory) / registry.RECORD
    file.unlink() if damage is None else file.write_text(damage)
    registry.mend(server)
    assert registry.servers() == [server]


def test_a_whole_record_is_left_as_it_is() -> None:
    server = record()
    file = Path(server.directory) / registry.RECORD
    before = file.stat().st_ino
    registry.mend(server)
    assert file.stat().st_ino == before


def test_an_engine_that_a_signal_stopped_is_paused() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as engine:
        try:
            record(process=Identity.of(engine.pid))
            assert registry.servers()[0].state == "ready"
            engine.send_signal(signal.SIGSTOP)
            while registry.servers()[0].state != "paused":
                pass
            engine.send_signal(signal.SIGCONT)
            while registry.servers()[0].state != "ready":
                pass
        finally:
            engine.kill()


def test_a_wait_for_another_start_is_said_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_SAY_AFTER", 0.0)
    monkeypatch.setattr(registry, "_PATIENCE", 0.2)
    said: list[str] = []
    with registry.locked(), pytest.raises(LlmserveError) as caught, registry.locked(said.append):
        pass
    assert caught.value.code == "busy"
    assert len(said) == 1
    with registry.locked(said.append):
        pass
    assert len(said) == 1


def test_uptime_is_by_the_kernels_clock() -> None:
    server = record(started_at=0.0)
    assert 0 <= server.uptime < time.time() / 2


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = Identity.of(child.pid)
    assert wait_gone(identity, timeout=5)
    child.wait()
