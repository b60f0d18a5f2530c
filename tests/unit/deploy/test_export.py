from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from llmserve.app import run
from llmserve.deploy.targets import TARGETS

CASES = [
    ("systemd", "h100"), ("compose", "h100"), ("compose", "h100x8"), ("kubernetes", "h100"), ("slurm", "h100x2"),
    ("skypilot", "l40s"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)


def export(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert run(["export", *words, "--json"]) == code
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    return body


def flags(capsys: pytest.CaptureFixture[str], model: str, machine: str, *more: str) -> list[str]:
    """The engine's flags as ``up --dry-run`` shows them, from the first that the plan chose."""
    assert run(["up", model, "--machine", machine, "--dry-run", "--json", *more]) == 0
    plan = json.loads(capsys.readouterr().out)["data"]["plan"]
    return [word for flag in plan["flags"] for word in (flag["name"], flag["value"]) if word is not None]


def within(part: list[str], whole: list[str]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole)))


@pytest.mark.parametrize(("target", "machine"), CASES)
def test_every_target_writes_once_and_then_changes_nothing(
    target: str, machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = (target, "llama-3.1-8b", "--machine", machine, "--out", "out")
    first = export(capsys, *words)["data"]["files"]
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {one["change"] for one in first} == {"new"}
    again = export(capsys, *words)["data"]["files"]
    assert {one["change"] for one in again} <= {"same", "kept"}
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("machine", ["h100", "l4"])
def test_flags_are_those_of_up(machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chosen = flags(capsys, "qwen3-8b", machine)
    export(capsys, "compose", "qwen3-8b", "--machine", machine, "--out", "c")
    export(capsys, "kubernetes", "qwen3-8b", "--machine", machine, "--out", "k")
    engine = yaml.safe_load((tmp_path / "c/compose.yaml").read_text())["services"]["engine"]
    pod = yaml.safe_load((tmp_path / "k/base/workload.yaml").read_text())["spec"]["template"]["spec"]
    assert within(chosen, engine["command"])
    assert within(chosen, pod["containers"][0]["command"])


def test_flags_follow_the_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for context in ("8k", "16k"):
        export(capsys, "compose", "qwen3-8b", "--machine", "h100", "--context", context, "--out", context)
    commands = [yaml.safe_load((tmp_path / name / "compose.yaml").read_text())["services"]["engine"]["command"]
                for name in ("8k", "16k")]  # fmt: skip
    assert [command[command.index("--context-length") + 1] for command in commands] == ["8192", "16384"]


def test_a_key_is_made_once_and_stands_in_secret_files_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    body = export(capsys, "kubernetes", "qwen3-8b", "--machine", "h100", "--out", "out")
    secret = tmp_path / "out/base/secrets/sglang.yaml"
    key = yaml.safe_load(secret.read_text())["api-key"]
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{40,}", key)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    others = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path != secret]
    assert key not in json.dumps(body) + "".join(path.read_text() for path in others)
    assert "placeholder" not in "".join(path.read_text() for path in (*others, secret))
    assert (tmp_path / "out/base/secrets/.gitignore").read_text() == "*\n"
    export(capsys, "kubernetes", "qwen3-8b", "--machine", "h100", "--context", "8k", "--out", "out", "--force")
    assert yaml.safe_load(secret.read_text())["api-key"] == key


@pytest.mark.parametrize("target", list(TARGETS))
def test_stdout_shows_no_key_and_writes_nothing(
    target: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["export", target, "qwen3-8b", "--machine", "h100", "--stdout"]) == 0
    text = capsys.readouterr().out
    assert "placeholder" not in text
    assert not re.search(r"sk-[A-Za-z0-9_-]{20,}", text)
    assert not list(tmp_path.rglob("*.yaml"))


def test_files_that_differ_are_shown_and_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["export", "compose", "qwen3-8b", "--machine", "h100", "--out", "out"]
    assert run(words) == 0
    place = tmp_path / "out/compose.yaml"
    place.write_text(place.read_text().replace("restart: unless-stopped", "restart: 'no'", 1))
    mine = place.read_text()
    capsys.readouterr()
    assert run(words) == 2
    told = capsys.readouterr()
    assert "-    restart: 'no'\n+    restart: unless-stopped\n" in told.out
    assert "compose.yaml" in told.err
    assert place.read_text() == mine
    assert run([*words, "--force"]) == 0
    assert place.read_text() != mine


def test_several_nodes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("deepseek-v3", "--machine", "h100x8", "--nodes", "2")
    export(capsys, "kubernetes", *words, "--out", "k")
    group = yaml.safe_load((tmp_path / "k/base/workload.yaml").read_text())
    assert (group["kind"], group["spec"]["leaderWorkerTemplate"]["size"]) == ("LeaderWorkerSet", 2)
    leader = group["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"][0]
    worker = group["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]
    assert leader["command"] == worker["command"]
    assert within(["--nnodes", "2"], leader["command"])
    assert leader["command"][-4:] == [
        "--dist-init-addr", "$(LWS_LEADER_ADDRESS):20000", "--node-rank", "$(LWS_WORKER_INDEX)",
    ]  # fmt: skip
    assert "startupProbe" in leader
    assert "startupProbe" not in worker
    body = export(capsys, "compose", *words, "--out", "c", code=2)
    assert body["errors"][0]["code"] == "target_one_node"
    assert not (tmp_path / "c").exists()


def test_a_pod_is_closed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    export(capsys, "kubernetes", "qwen3-8b", "--machine", "h100", "--out", "k")
    pod = yaml.safe_load((tmp_path / "k/base/workload.yaml").read_text())["spec"]["template"]["spec"]
    engine = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert "hostIPC" not in pod
    assert "hostNetwork" not in pod
    assert engine["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert re.fullmatch(r"[\w./-]+:v\d+(\.\d+)+", engine["image"])
    assert "--trust-remote-code" not in engine["command"]
    assert engine["startupProbe"]["failureThreshold"] * engine["startupProbe"]["periodSeconds"] >= 600


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["nomad", "qwen3-8b"], 2, "no_target"),
        (["compose", "tiny", "--engine", "llamacpp"], 2, "local_weights"),
        (["kubernetes", "qwen3-8b", "--engine", "llamacpp", "--machine", "laptop"], 2, "target_needs_gpu"),
        (["slurm", "llama-3.1-405b", "--machine", "l4"], 3, None),
        (["compose", "qwen3-8b", "--machine", "h100", "--out", "/proc/none"], 1, None),
        (["compose", "qwen3-8b", "--machine", "no-such-machine"], 2, None),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(
    words: list[str], code: int, error: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    found = export(capsys, *words, code=code)["errors"][0]
    assert found["message"]
    assert found["hint"]
    assert error in (None, found["code"])


@pytest.mark.parametrize("machine", ["h100", "laptop"])
def test_systemd_accepts_the_unit(machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its own tool reads it. The program must exist for that, so the command is this Python."""
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("systemd-analyze is not installed")
    export(capsys, "systemd", "smollm2-135m", "--machine", machine, "--out", "out")
    unit = next((tmp_path / "out").glob("*.service"))
    text = re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text())
    unit.write_text(text.replace("User=llmserve\nGroup=llmserve\n", "User=root\n"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words", [["llama-3.3-70b", "--machine", "h100x8"], ["deepseek-v3", "--machine", "h100x8", "--nodes", "2"]]
)
def test_bash_accepts_the_batch_script(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    export(capsys, "slurm", *words, "--machine", "h100x8", "--out", "out")
    script = next((tmp_path / "out").glob("*.sbatch"))
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


BUNDLED = {"Deployment", "Service", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy"}


@pytest.mark.parametrize("machine", ["h100", "h100x8"])
def test_kubernetes_schemas_accept_the_objects(
    machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Strictly: a misspelt field is an error. Kinds of operators have no schema there."""
    export(capsys, "kubernetes", "qwen3-8b", "--machine", machine, "--out", "k")
    objects = [yaml.safe_load(path.read_text()) for path in (tmp_path / "k/base").glob("*.yaml")]
    known = [one for one in objects if one["kind"] in BUNDLED]
    for one in known:
        kubernetes_validate.validate(one, "1.34", strict=True)
    assert {one["kind"] for one in known} == BUNDLED


def test_kustomize_finds_what_it_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    export(capsys, "kubernetes", "qwen3-8b", "--machine", "h100", "--out", "k")
    for place in (tmp_path / "k").rglob("kustomization.yaml"):
        named = yaml.safe_load(place.read_text())
        sources = [file.partition("=")[2] for one in named.get("secretGenerator", []) for file in one["files"]]
        for name in (*named["resources"], *sources):
            assert (place.parent / name).exists(), name
