"""The distribution that llmserve adds to a CPU environment, with stand-ins for torch and torchvision."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

import llmserve.engine.sglang
from llmserve.engine import wheel

SOURCE = Path(llmserve.engine.sglang.__file__).parent / "cpu_platform"

TORCH = """
class ops:
    class torchvision: pass
    @staticmethod
    def load_library(path):
        if "broken" in open(path).read():
            raise OSError("libcudart.so: cannot open shared object file")
        ops.torchvision.nms = ops.torchvision.qnms = "compiled"
class library:
    @staticmethod
    def define(name, schema):
        assert schema.endswith("-> Tensor")
        setattr(ops.torchvision, name.split("::")[1], "declared")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What pip unpacks from the wheel, beside a torch and a torchvision of ours."""
    with zipfile.ZipFile(wheel.pack(SOURCE, tmp_path)) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "site" / "torch.py").write_text(TORCH, encoding="utf-8")
    (tmp_path / "site" / "torchvision").mkdir()
    text = "import torch\nseen = torch.ops.torchvision.nms\n"
    (tmp_path / "site" / "torchvision" / "__init__.py").write_text(text, encoding="utf-8")
    (tmp_path / "site" / "torchvision" / "ops.py").write_text("", encoding="utf-8")
    return tmp_path / "site"


def run(site: Path, code: str) -> str:
    start = f"import site, sys; site.addsitedir({str(site)!r}); "
    command = [sys.executable, "-I", "-S", "-c", start + code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout.strip()


def test_the_wheel_is_one_that_pip_and_sglang_can_read(site: Path) -> None:
    distribution = PathDistribution(site / "llmserve_sglang_cpu-1.0.dist-info")
    assert distribution.metadata["Name"] == "llmserve-sglang-cpu"
    (entry,) = distribution.entry_points
    assert (entry.group, entry.name) == ("sglang.srt.platforms", "llmserve_cpu")
    assert entry.value == "llmserve_sglang_cpu:activate"
    names = {str(file) for file in distribution.files or ()}
    assert names == {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()} - {
        "torch.py",
        "torchvision/__init__.py",
        "torchvision/ops.py",
    }
    for file in distribution.files or ():
        if file.hash:
            digest = hashlib.sha256(file.read_binary()).digest()
            assert file.hash.value == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_the_wheel_is_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert wheel.pack(SOURCE, tmp_path / "a").read_bytes() == wheel.pack(SOURCE, tmp_path / "b").read_bytes()


def test_a_start_of_python_imports_next_to_nothing(site: Path) -> None:
    code = "before = set(sys.modules); print(sorted(m for m in ('torch', 'torchvision', 'typing') if m in before))"
    assert run(site, code) == "[]"
    assert run(site, "print([m for m in sys.modules if m.startswith('llmserve')])") == (
        "['llmserve_sglang_cpu', 'llmserve_sglang_cpu.finder']"
    )


def test_asking_where_torchvision_is_does_not_import_torch(site: Path) -> None:
    code = "import importlib.util as u; print(u.find_spec('torchvision').origin, 'torch' in sys.modules)"
    assert run(site, code) == f"{site / 'torchvision' / '__init__.py'} False"


def test_missing_operators_are_declared_before_torchvision_runs(site: Path) -> None:
    (site / "torchvision" / "_C.so").write_text("broken", encoding="utf-8")
    assert run(site, "import torchvision, torchvision.ops; print(torchvision.seen)") == "declared"


def test_a_torchvision_that_has_its_library_is_left_alone(site: Path) -> None:
    (site / "torchvision" / "_C.so").write_text("fine", encoding="utf-8")
    assert run(site, "import torchvision; print(torchvision.seen)") == "compiled"


def test_other_imports_and_a_missing_torchvision_are_not_touched(site: Path) -> None:
    (site / "torchvision" / "__init__.py").unlink()
    (site / "torchvision" / "ops.py").unlink()
    (site / "torchvision").rmdir()
    assert run(site, "import json, importlib.util as u; print(u.find_spec('torchvision'))") == "None"
