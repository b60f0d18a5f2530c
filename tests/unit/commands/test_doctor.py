from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmserve import app, hardware
from llmserve.commands import doctor
from llmserve.engine.base import Environment
from llmserve.hardware import Finding, Machine, MemoryOwner, load
from llmserve.hardware.checks import examine
from llmserve.output import Output

GIB = 1024**3
TOKEN = "hf_" + "s3cr3t" * 5
INSTALLED = Environment(engine="llamacpp", version="2026.10", python="/venv/bin/python", managed=False)


def busy_4090() -> Machine:
    """A workstation whose card is mostly taken, and a driver from last year."""
    machine = load("workstation-4090")
    owner = MemoryOwner(pid=4242, name="python3", used_bytes=19 * GIB, user="alice")
    gpu = replace(machine.gpus[0], free_bytes=4 * GIB, owners=(owner,))
    return replace(machine, gpus=(gpu,), cuda="12.4", driver="550.54.15", notes=("The GPU also drives a screen.",))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str, machine: Machine | None = None) -> tuple[int, str, str]:
        if machine is not None:
            monkeypatch.setattr(hardware, "detect", lambda: machine)
        code = app.run(["doctor", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    monkeypatch.setattr(doctor, "_known_engines", lambda: {"llamacpp": SimpleNamespace(environment=lambda: INSTALLED)})
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/hf")
    monkeypatch.setenv("COLUMNS", "80")
    return call


def test_the_whole_report_as_text() -> None:
    checks = [*examine(busy_4090()), *doctor.setting_checks({"HF_HOME": "/hf", "CUDA_VISIBLE_DEVICES": "0"})]
    text = doctor.layout(busy_4090(), checks)
    assert (
        text.split("\n", 1)[1]
        == """
System
  ok    os         Ubuntu 24.04 LTS, Linux 6.8, x86_64
  ok    cpu        AMD Ryzen 9 7950X: 16 cores, 32 threads; avx2 avx512f
                   avx512_bf16
  ok    memory     57.6 of 64.0 GiB available

GPUs
  warn  gpu 0      NVIDIA GeForce RTX 4090 (sm_89): 4.0 of 24.0 GiB free
                   python3 (pid 4242, alice) holds 19.00 GiB
                   -> End what holds the memory, or leave this GPU out with
                      CUDA_VISIBLE_DEVICES.
  warn  driver     version 550.54.15, CUDA up to 12.4; SGLang is built for CUDA
                   13
                   -> Install driver 580 or newer (data-centre cards: the
                      package cuda-compat-13-0 will do).

Disks
  ok    weights    1200.0 of 1900.0 GiB free in ~/.cache/huggingface/hub
  ok    engines    1200.0 of 1900.0 GiB free in ~/.local/share/llmserve/engines
  ok    state      1200.0 of 1900.0 GiB free in ~/.local/state/llmserve/servers

Settings
  ok    hub        https://huggingface.co, HF_HOME /hf
  ok    token      none; gated models need one (`hf auth login`)
  ok    variables  CUDA_VISIBLE_DEVICES=0

Notes
  - The GPU also drives a screen.

2 warnings: see the lines with ->."""
    )


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for name in hardware.names():
        machine = replace(load(name), hidden_gpus=1, shm_bytes=1, cuda="12.0")
        text = doctor.layout(machine, examine(machine), width=width)
        assert max(map(len, text.splitlines()[1:])) <= width


def test_a_profile_is_shown_without_looking_at_this_machine(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(hardware, "detect")
    code, out, err = run("--machine", "h200x8")
    assert (code, err) == (0, "")
    assert out.startswith("llmserve ")
    assert "gpu 7      NVIDIA H200 (sm_90): 139.8 of 140.4 GiB free" in out
    assert "NVLink between all GPUs, 18 lanes each" in out
    assert out.endswith("Nothing stands in the way.\n")
    assert "Engines" not in out


def test_an_unknown_profile_is_a_usage_error(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("--machine", "h20x8")
    assert (code, out) == (2, "")
    assert err.startswith("error: There is no machine profile 'h20x8'.\n  Did you mean h200x8")


def test_json_has_the_machine_the_checks_and_the_versions(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("--json", machine=busy_4090())
    body = json.loads(out)
    assert (code, err, body["status"], body["command"]) == (0, "", "ok", "doctor")
    data = body["data"]
    assert data["verdict"] == "warn"
    assert set(data["versions"]) == {"llmserve", "python"}
    assert data["machine"]["gpus"][0]["owners"] == [
        {"pid": 4242, "name": "python3", "used_bytes": 19 * GIB, "user": "alice"}
    ]
    driver = next(check for check in data["checks"] if check["name"] == "driver")
    assert (driver["section"], driver["verdict"]) == ("GPUs", "warn")
    assert {"message", "hint"} <= set(driver)


def test_the_report_tells_no_secrets_and_not_whose_home_it_is(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "mallory"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", f"https://user:{TOKEN}@hub.example/?key={TOKEN}")
    disks = tuple(replace(disk, path=str(home / "weights")) for disk in load("l4").disks)
    finding = Finding(message=f"This user cannot write to {home}/weights.", hint="Set HF_HOME.", about="weights")
    machine = replace(load("l4"), disks=disks, findings=(finding,), notes=(f"See {home}.",))
    saved = tmp_path / "saved.json"

    texts = [
        run(machine=machine)[1],
        run("--json", machine=machine)[1],
        run("--save", str(saved), "-q", machine=machine)[1] + saved.read_text(),
    ]

    for text in texts:
        assert "mallory" not in text
        assert "s3cr3t" not in text
    assert "configured in HF_TOKEN" in texts[0]
    assert "https://hub.example/" in texts[0]
    assert "HF_HOME ~/hf" in texts[0]


def test_what_strangers_named_cannot_speak_to_the_terminal(run: Callable[..., tuple[int, str, str]]) -> None:
    evil = MemoryOwner(pid=1, name="x\x1b[31mred\x9b2J\u202e", used_bytes=GIB)
    machine = replace(load("l4"), gpus=(replace(load("l4").gpus[0], owners=(evil,)),))
    for arguments in ((), ("--json",)):
        out = run(*arguments, machine=machine)[1]
        assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert "xred" in run(machine=machine)[1]


def test_something_bad_ends_with_1_and_quiet_says_the_worst(run: Callable[..., tuple[int, str, str]]) -> None:
    finding = Finding(message="GPU 0 does not answer.", hint="Restart.", severity="bad")
    broken = replace(load("laptop"), findings=(finding,))
    assert run("-q", machine=broken)[:2] == (1, "bad\n")
    assert run("-q", machine=busy_4090())[:2] == (0, "warn\n")
    assert run("-q", machine=load("laptop"))[:2] == (0, "ok\n")
    code, out, _err = run(machine=broken)
    assert code == 1
    assert out.endswith("1 bad: see the lines with ->.\n")


def test_save_writes_what_machine_reads(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    code, _out, err = run("--save", str(path), machine=busy_4090())
    assert (code, err) == (0, f"Wrote {path}.\n")
    assert load(path) == busy_4090()
    assert "550.54.15" in run("--machine", str(path))[1]


def test_help_shows_examples(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _err = run("--help")
    assert code == 0
    assert "  llmserve doctor --save this.json       a profile, to plan for it elsewhere\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_real_machine_in_both_forms() -> None:
    for mode in ("human", "json"):
        out = io.StringIO()
        machine = doctor.anonymous(hardware.detect())
        Output(mode, "doctor", out=out).show(doctor.report(machine, examine(machine)))
        assert "System" in out.getvalue()
