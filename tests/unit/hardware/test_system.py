from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmserve.hardware import system


def kernel(monkeypatch: pytest.MonkeyPatch, sysname: str, release: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname=sysname, release=release))


@pytest.mark.parametrize(
    ("release", "os_release", "name"),
    [
        ("6.8.0", 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n', "Ubuntu 24.04.1 LTS, Linux 6.8.0"),
        ("6.8.0", "PRETTY_NAME='Arch Linux'", "Arch Linux, Linux 6.8.0"),
        ("6.8.0", "no such line", "Linux 6.8.0"),
        ("6.8.0", None, "Linux 6.8.0"),
        ("5.15.167-microsoft-standard-WSL2", None, "Linux 5.15.167-microsoft-standard-WSL2 (WSL2)"),
    ],
)
def test_names_of_linux(
    release: str, os_release: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(monkeypatch, "Linux", release)
    if os_release is not None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/os-release").write_text(os_release)
    assert system.os_name(tmp_path) == name


def test_macos_goes_by_its_own_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(monkeypatch, "Darwin", "24.1.0")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert system.os_name(tmp_path) == "macOS 15.1"


@pytest.mark.parametrize(
    ("environment", "file", "text", "kind"),
    [
        ({}, "etc/nothing", "", None),
        ({}, ".dockerenv", "", "docker"),
        ({}, "run/.containerenv", "", "podman"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ".dockerenv", "", "kubernetes"),
        ({"APPTAINER_CONTAINER": "/images/x.sif"}, "etc/nothing", "", "apptainer"),
        ({"container": "lxc"}, "etc/nothing", "", "lxc"),
        ({}, "proc/1/cgroup", "3:memory:/kubepods/burstable/pod1/abc", "kubernetes"),
        ({}, "proc/1/cgroup", "3:memory:/docker/abc", "docker"),
        ({}, "proc/1/cgroup", "0::/init.scope", None),
    ],
)
def test_containers(environment: dict[str, str], file: str, text: str, kind: str | None, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert system.container(environment, tmp_path) == kind
