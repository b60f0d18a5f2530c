"""The wheel holds all that it needs, and works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(TREE)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_it_holds_the_templates_the_licence_and_the_types(unpacked: Path) -> None:
    shipped = {path.relative_to(TREE).as_posix() for path in (TREE / "templates").rglob("*") if path.is_file()}
    assert {name for name in shipped if not (unpacked / "llmserve" / name).is_file()} == set()
    assert (unpacked / "llmserve" / "py.typed").is_file()
    assert list(unpacked.glob("llmserve-*.dist-info/licenses/LICENSE"))


def test_its_core_depends_on_nothing_heavy(unpacked: Path) -> None:
    metadata = next(unpacked.glob("llmserve-*.dist-info/METADATA")).read_text()
    core = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert 3 <= len(core) <= 12
    assert not [line for line in core if any(heavy in line for heavy in ("torch", "sglang", "xllamacpp", "pydantic"))]


@pytest.mark.parametrize("args", [["--version"], ["models", "-q"], ["up", "tiny", "--dry-run", "--machine", "h100x8"]])
def test_it_works_outside_the_checkout(unpacked: Path, tmp_path: Path, args: list[str]) -> None:
    env = {**os.environ, "PYTHONPATH": str(unpacked), "XDG_CACHE_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    code = "import llmserve, sys; print(llmserve.__file__, file=sys.stderr); from llmserve.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *args], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert str(unpacked) in done.stderr
    assert done.stdout.strip()
