from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import UsageError
from llmserve.hardware import detect, load, names, save
from llmserve.hardware.profiles import problems
from llmserve.records import to_json

GIB = 1024**3
MIB = 1024**2

EXPECTED = {
    # name: (GPUs, MiB as nvidia-smi shows them, arch, kind of link)
    "laptop": (0, 0, "", None),
    "cpu-server": (0, 0, "", None),
    "workstation-4090": (1, 24564, "sm_89", None),
    "2x4090": (2, 24564, "sm_89", "pcie"),
    "rtx5090": (1, 32607, "sm_120", None),
    "l4": (1, 23034, "sm_89", None),
    "a10g": (1, 23028, "sm_86", None),
    "l40s": (1, 46068, "sm_89", None),
    "a100-40": (1, 40960, "sm_80", None),
    "a100x8": (8, 81920, "sm_80", "nvlink"),
    "h100": (1, 81559, "sm_90", None),
    "h100x2": (2, 81559, "sm_90", "nvlink"),
    "h100x8": (8, 81559, "sm_90", "nvlink"),
    "h200": (1, 143771, "sm_90", None),
    "h200x8": (8, 143771, "sm_90", "nvlink"),
    "b200x8": (8, 183359, "sm_100", "nvlink"),
    "mi300x8": (8, 196592, "gfx942", "xgmi"),
    "m3-max": (1, 49152, "apple-m3", None),
}


def test_these_profiles_ship() -> None:
    assert set(names()) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_profile_is_what_its_name_says(name: str) -> None:
    count, mib, arch, link = EXPECTED[name]
    machine = load(name)

    assert machine.name == name
    assert len(machine.gpus) == count
    assert {disk.use for disk in machine.disks} == {"weights", "engines", "state"}
    for i, gpu in enumerate(machine.gpus):
        assert (gpu.index, gpu.uuid, gpu.arch) == (i, f"GPU-{name}-{i}", arch)
        assert gpu.total_bytes == mib * MIB
        assert gpu.total_bytes - gpu.free_bytes <= 0.65 * GIB
        assert {other.peer for other in gpu.links} == (set(range(count)) - {i} if link else set())
        assert {other.kind for other in gpu.links} == ({link} if link else set())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_saving_and_loading_loses_nothing(name: str, tmp_path: Path) -> None:
    machine = load(name)
    save(machine, tmp_path / "again.json")
    assert load(tmp_path / "again.json") == machine


def test_this_machine_survives_a_file(tmp_path: Path) -> None:
    machine = detect(disks={"weights": tmp_path})
    save(machine, tmp_path / "deep" / "this.json")
    assert load(str(tmp_path / "deep" / "this.json")) == machine


def test_a_file_needs_no_suffix_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(load("l4"), Path("mine"))
    assert load("mine").name == "l4"


@pytest.mark.parametrize(("name", "near"), [("h100x", "h100x8"), ("H200", "h200"), ("mi300", "mi300x8")])
def test_an_unknown_profile_names_its_neighbours(name: str, near: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(name)
    assert raised.value.message == f"There is no machine profile {name!r}."
    start, _, rest = (raised.value.hint or "").partition("?")
    assert near in start
    assert "cpu-server" in rest


def test_a_name_like_no_other_lists_all() -> None:
    with pytest.raises(UsageError) as raised:
        load("toaster")
    assert (raised.value.hint or "").startswith("Profiles: 2x4090, ")


def refusal(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load(path)
    assert str(path) in raised.value.message
    return raised.value.message


def edited(**changes: Any) -> str:
    return json.dumps(to_json(load("h100x2")) | changes)


def edited_gpu(**changes: Any) -> str:
    gpus = to_json(load("h100x2"))["gpus"]
    return edited(gpus=[gpus[0], gpus[1] | changes])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"ram_total_bytes": -1}, "ram_available_bytes"),
        ({"ram_total_bytes": "64 GiB"}, "ram_total_bytes must be int"),
        ({"ram_available_bytes": 10**15}, "ram_available_bytes"),
        ({"ram_total_bytes": True}, "ram_total_bytes must be int"),
        ({"cpu": {"model": "x", "cores": 0, "threads": 1}}, "cpu.cores"),
        ({"cpu": {"model": "x", "cores": 4, "threads": 2}}, "cpu.cores"),
        ({"cpu": None}, "cpu must be a table"),
        ({"gpus": {}}, "gpus must be list"),
        ({"gpus": [7]}, "gpus[0] must be a table"),
        ({"hidden_gpus": -1}, "hidden_gpus"),
        ({"disks": [{"use": "weights", "path": "/", "total_bytes": 1, "free_bytes": 2}]}, "disks[0].free_bytes"),
        ({"notes": "one"}, "notes must be list"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_with_the_place(
    changes: dict[str, Any], place: str, tmp_path: Path
) -> None:
    assert place in refusal(tmp_path / "m.json", edited(**changes))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"total_bytes": -5}, "gpus[1].free_bytes"),
        ({"total_bytes": 0, "free_bytes": 0}, "gpus[1].free_bytes"),
        ({"free_bytes": 10**15}, "gpus[1].free_bytes"),
        ({"uuid": "GPU-h100x2-0"}, "gpus[1].uuid"),
        ({"uuid": ""}, "gpus[1].uuid"),
        ({"index": -1}, "gpus[1].index"),
        ({"vendor": "voodoo"}, "gpus[1].vendor must be one of nvidia, amd, apple"),
        ({"links": [{"peer": 1, "kind": "nvlink"}]}, "gpus[1].links"),
        ({"links": [{"peer": 0, "kind": "string"}]}, "gpus[1].links[0].kind"),
        ({"owners": [{"pid": 1, "name": "x", "used_bytes": -1}]}, "gpus[1].owners"),
    ],
)
def test_a_gpu_that_cannot_be_is_refused_with_the_place(changes: dict[str, Any], place: str, tmp_path: Path) -> None:
    assert place in refusal(tmp_path / "m.json", edited_gpu(**changes))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"name": "x"}', "[" * 100_000, '{"name": NaN}'])
def test_what_is_no_machine_is_refused(text: str, tmp_path: Path) -> None:
    assert "Cannot read a machine" in refusal(tmp_path / "m.json", text)


def test_folders_missing_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.json")
    with pytest.raises(UsageError, match="not a file"):
        load(tmp_path)
    assert "too large" in refusal(tmp_path / "m.json", " " * 5 * MIB)


def test_a_newer_versions_fields_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(edited(quantum_bits=3))
    assert load(path) == load("h100x2")


@pytest.mark.parametrize("said", [99, 0, "1", None, [1]])
def test_a_file_of_another_format_is_refused(said: Any, tmp_path: Path) -> None:
    assert "knows 1 alone" in refusal(tmp_path / "m.json", edited(format=said))


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Cannot write"):
        save(load("l4"), tmp_path / "file" / "m.json")


def test_slices_may_share_an_index() -> None:
    gpu = load("l4").gpus[0]
    slices = tuple(replace(gpu, uuid=f"MIG-{i}", mig=True) for i in range(2))
    assert list(problems(replace(load("l4"), gpus=slices))) == []
