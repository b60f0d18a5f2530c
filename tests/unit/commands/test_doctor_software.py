"""The half of ``llmserve doctor`` that looks at software: engines, the hub's settings, variables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmserve.commands import doctor
from llmserve.engine.base import Environment
from llmserve.hardware import Machine, load
from llmserve.hardware.checks import Check

TOKEN = "hf_" + "s3cr3t" * 5


def engine(version: str, python: str, **facts: Any) -> SimpleNamespace:
    place = Environment(engine="x", version=version, python=python, **({"managed": False} | facts))
    return SimpleNamespace(environment=lambda: place)


def absent() -> SimpleNamespace:
    return SimpleNamespace(environment=lambda: None)


def engines(machine: Machine, **found: Any) -> dict[str, Check]:
    return {check.name: check for check in doctor.engine_checks(machine, found)}


def test_the_engine_that_suits_the_machine_is_missed() -> None:
    on_gpu = engines(load("l4"), sglang=absent(), llamacpp=absent())
    assert (on_gpu["sglang"].verdict, on_gpu["llamacpp"].verdict) == ("warn", "ok")
    assert on_gpu["sglang"].hint == "Run `llmserve engine install sglang`."
    for name in ("laptop", "m3-max"):
        on_cpu = engines(load(name), sglang=absent(), llamacpp=absent())
        assert (on_cpu["sglang"].verdict, on_cpu["llamacpp"].verdict) == ("ok", "warn")


def test_installed_engines_say_version_device_and_place() -> None:
    managed = engine("0.5.23", "/e/sglang/bin/python", managed=True, path="/e/sglang", device="gpu")
    found = engines(load("l4"), sglang=managed, llamacpp=engine("2026.10", "/venv/bin/python"))
    assert found["sglang"].message == "0.5.23 for gpu, /e/sglang"
    assert found["llamacpp"].message == "2026.10 for cpu, /venv/bin/python"


def test_an_engine_built_for_the_cpu_wastes_a_gpu() -> None:
    found = engines(load("l4"), sglang=engine("0.5.23", "/e/bin/python"), llamacpp=engine("2026.10", "/v/bin/python"))
    assert (found["sglang"].verdict, found["llamacpp"].verdict) == ("warn", "ok")
    assert found["sglang"].message.endswith("; this machine has a GPU")
    assert engines(load("laptop"), sglang=engine("0.5.23", "/e/bin/python"))["sglang"].verdict == "ok"


def test_a_broken_environment_does_not_end_the_report() -> None:
    def fail() -> None:
        raise OSError("no such interpreter")

    found = engines(load("l4"), sglang=SimpleNamespace(environment=fail), llamacpp=absent())
    assert found["sglang"].verdict == "warn"
    assert "no such interpreter" in found["sglang"].message
    assert "llamacpp" in found


def test_the_engines_that_llmserve_knows_are_asked() -> None:
    assert {"sglang", "llamacpp"} <= {check.name for check in doctor.engine_checks(load("laptop"))}


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        ({"HF_TOKEN": TOKEN}, "HF_TOKEN"),
        ({"HUGGING_FACE_HUB_TOKEN": TOKEN}, "HUGGING_FACE_HUB_TOKEN"),
        ({"HF_TOKEN": "  "}, None),
        ({}, None),
    ],
)
def test_tokens_in_variables(environment: dict[str, str], source: str | None, tmp_path: Path) -> None:
    assert doctor.token_source({"HF_HOME": str(tmp_path)} | environment) == source


def test_tokens_in_files(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("")
    assert doctor.token_source({"HF_HOME": str(tmp_path)}) is None
    path.write_text(TOKEN)
    assert doctor.token_source({"HF_HOME": str(tmp_path)}) == str(path)
    assert doctor.token_source({"HF_TOKEN_PATH": str(path), "HF_HOME": "/none"}) == str(path)


def test_settings_name_what_is_set() -> None:
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HIP_VISIBLE_DEVICES": "0,1",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "HF_HOME": "/h",
    }
    found = {check.name: check.message for check in doctor.setting_checks(environment)}
    assert "only models in the cache" in found["offline"]
    assert found["variables"] == "NVIDIA_VISIBLE_DEVICES=all, HIP_VISIBLE_DEVICES=0,1"
