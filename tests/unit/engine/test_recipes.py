from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path

import pytest

from llmserve import paths
from llmserve.engine import recipes
from llmserve.errors import LlmserveError, UsageError


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.setattr(recipes, "gpu_present", lambda: False)
    monkeypatch.delenv(recipes.TORCH_INDEX, raising=False)


def test_a_name_tells_all_that_matters() -> None:
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    assert re.fullmatch(rf"sglang-[\d.]+-cpu-{python}-[0-9a-f]{{10}}", recipes.recipe("sglang").name)
    assert re.fullmatch(rf"llamacpp-[\d.]+-cpu-{python}-[0-9a-f]{{10}}", recipes.recipe("llamacpp").name)


def test_every_package_of_a_template_is_pinned() -> None:
    for path in (paths.templates_dir() / "engines").glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.+]+", line), f"{path.name}: {line}"


def test_the_two_halves_of_the_cpu_recipe_are_of_one_sglang() -> None:
    assert recipes.recipe("sglang", "cpu").version == recipes.recipe("sglang", "gpu").version


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipes.recipe("sglang").device == "cpu"
    monkeypatch.setattr(recipes, "gpu_present", lambda: True)
    assert recipes.recipe("sglang").device == "gpu"
    assert recipes.recipe("sglang", "cpu").device == "cpu"
    assert recipes.recipe("llamacpp").device == "cpu"


def test_a_changed_input_is_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipes.recipe("sglang", "cpu")
    shutil.copytree(paths.templates_dir(), tmp_path / "templates")
    monkeypatch.setattr(paths, "templates_dir", lambda: tmp_path / "templates")
    assert recipes.recipe("sglang", "cpu").digest == before.digest
    with (tmp_path / "templates" / "engines" / "sglang-cpu.txt").open("a", encoding="utf-8") as file:
        file.write("one-more==1.0\n")
    assert recipes.recipe("sglang", "cpu").digest != before.digest
    assert recipes.recipe("sglang", "gpu").digest in recipes.digests("sglang")


def test_the_platform_plugin_is_part_of_the_recipe() -> None:
    names = {path.name for path in recipes.recipe("sglang", "cpu").inputs}
    assert {"sglang-cpu.txt", "sglang-cpu-no-deps.txt", "platform.py", "finder.py", "METADATA"} <= names


def test_torch_comes_from_pips_own_sources_and_then_from_its_cpu_index() -> None:
    step = recipes.recipe("sglang", "cpu").steps[0]
    assert step.arguments == ("torch==2.13.0+cpu",)
    assert step.fallback == ("--extra-index-url", "https://download.pytorch.org/whl/cpu", "torch==2.13.0+cpu")


def test_the_torch_index_can_be_set_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(recipes.TORCH_INDEX, "https://mirror.example/cpu")
    step = recipes.recipe("sglang", "cpu").steps[0]
    assert step.arguments == ("--extra-index-url", "https://mirror.example/cpu", "torch==2.13.0+cpu")
    assert not step.fallback
    monkeypatch.setenv(recipes.TORCH_INDEX, "")
    step = recipes.recipe("sglang", "cpu").steps[0]
    assert (step.arguments, step.fallback) == (("torch==2.13.0",), ())


def test_an_unknown_engine_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no engine called 'sglnag'") as caught:
        recipes.recipe("sglnag")
    assert caught.value.hint == "Did you mean sglang?"
    with pytest.raises(UsageError) as caught:
        recipes.recipe("zzz")
    assert caught.value.hint == "Engines: sglang, llamacpp."


def test_llamacpp_has_one_build() -> None:
    with pytest.raises(UsageError, match="no GPU build of llamacpp"):
        recipes.recipe("llamacpp", "gpu")


def test_sglang_says_where_it_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(LlmserveError, match=r"glibc 2\.34 or newer; this system has glibc 2\.31"):
        recipes.recipe("sglang")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with pytest.raises(LlmserveError, match="another C library"):
        recipes.recipe("sglang")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(LlmserveError, match="SGLang runs on Linux; this is Darwin") as caught:
        recipes.recipe("sglang")
    assert caught.value.code == "unsupported_platform"
    assert recipes.recipe("llamacpp").engine == "llamacpp"


def test_looking_for_a_gpu_costs_nothing() -> None:
    assert all(sign.startswith("/") for sign in recipes._GPU_SIGNS)
    assert any(map(os.path.exists, recipes._GPU_SIGNS)) in (True, False)
