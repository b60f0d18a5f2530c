"""What belongs into an engine's environment: pinned packages from ``templates/engines``, and a check that it works."""

from __future__ import annotations

import difflib
import hashlib
import os
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from llmserve import paths
from llmserve.engine import wheel
from llmserve.engine.base import Device
from llmserve.errors import LlmserveError, UsageError

GIB = 1024**3
TORCH_INDEX = "LLMSERVE_TORCH_INDEX"
MODULES = {"sglang": "sglang", "llamacpp": "xllamacpp"}
"""Engine -> the module that it is, which is also the name of its distribution."""

_GPU_SIGNS = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/kfd", "/usr/lib/wsl/lib/libcuda.so.1")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One ``pip install``: of ``arguments``, or of ``fallback`` when that fails, or of the folder ``source``.

    ``hint`` is what to try when all fails.
    """

    title: str
    arguments: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    source: Path | None = None
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to build one environment. ``check`` is Python source that fails when the environment does not work;
    ``needs_bytes`` is the disk space taken while building; ``inputs`` decide whether two environments are the same.
    """

    engine: str
    device: Device
    version: str
    steps: tuple[Step, ...]
    check: str
    needs_bytes: int
    inputs: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits over every input, the Python version and the platform."""
        seen = hashlib.sha256(f"{_python()} {sysconfig.get_platform()} {self.check}".encode())
        for path in self.inputs:
            seen.update(f"\0{path.name}\0".encode() + path.read_bytes())
        return seen.hexdigest()[:10]

    @property
    def name(self) -> str:
        """The environment's folder: ``sglang-0.5.23-cpu-py311-0123456789``."""
        return f"{self.engine}-{self.version}-{self.device}-{_python()}-{self.digest}"


def recipe(engine: str, device: Device | None = None) -> Recipe:
    """The recipe for ``engine``; without ``device``, the one for this machine.

    Raises:
        UsageError: there is no such engine, or none for that device.
        LlmserveError: the engine does not run on this operating system.
    """
    if engine not in _RECIPES:
        near = difflib.get_close_matches(engine, _RECIPES, n=1)
        raise UsageError(
            f"There is no engine called {engine!r}.",
            hint=f"Did you mean {near[0]}?" if near else f"Engines: {', '.join(_RECIPES)}.",
            code="unknown_engine",
        )
    known = _RECIPES[engine]
    chosen: Device = device or ("gpu" if "gpu" in known and gpu_present() else "cpu")
    if chosen not in known:
        raise UsageError(f"There is no {chosen.upper()} build of {engine}.", hint=f"Use --device {next(iter(known))}.")
    if reason := _unsupported(engine):
        raise LlmserveError(reason, hint="Use the engine llamacpp here.", code="unsupported_platform")
    return known[chosen]()


def names() -> tuple[str, ...]:
    """Engines that can be installed."""
    return tuple(_RECIPES)


def digests(engine: str) -> set[str]:
    """Digests of the present recipes of ``engine``: environments of other digests are out of date."""
    return {make().digest for make in _RECIPES[engine].values()}


def gpu_present() -> bool:
    """Whether a driver for GPUs that serve models is loaded. Looks at device files only; costs microseconds."""
    return any(Path(sign).exists() for sign in _GPU_SIGNS)


def _sglang_cpu() -> Recipe:
    packages, without_dependencies = _template("sglang-cpu.txt"), _template("sglang-cpu-no-deps.txt")
    platform_plugin = Path(__file__).parent / "sglang" / "cpu_platform"
    return Recipe(
        engine="sglang",
        device="cpu",
        version=_pinned(without_dependencies, "sglang"),
        steps=(
            _cpu_torch(packages),
            Step(title="packages", arguments=("-r", str(packages))),
            Step(title="SGLang", arguments=("--no-deps", "-r", str(without_dependencies))),
            Step(title="the CPU platform", source=platform_plugin),
        ),
        check=_SGLANG_CPU_CHECK,
        needs_bytes=4 * GIB,
        inputs=(packages, without_dependencies, *wheel.sources(platform_plugin)),
    )


def _sglang_gpu() -> Recipe:
    packages = _template("sglang-gpu.txt")
    return Recipe(
        engine="sglang",
        device="gpu",
        version=_pinned(packages, "sglang"),
        steps=(Step(title="SGLang and CUDA packages", arguments=("-r", str(packages))),),
        check=_SGLANG_GPU_CHECK,
        needs_bytes=20 * GIB,
        inputs=(packages,),
    )


def _llamacpp() -> Recipe:
    packages = _template("llamacpp.txt")
    return Recipe(
        engine="llamacpp",
        device="cpu",
        version=_pinned(packages, "xllamacpp"),
        steps=(Step(title="llama.cpp", arguments=("-r", str(packages))),),
        check="import xllamacpp; xllamacpp.Server, xllamacpp.CommonParams()",
        needs_bytes=GIB // 4,
        inputs=(packages,),
    )


_RECIPES = {"sglang": {"cpu": _sglang_cpu, "gpu": _sglang_gpu}, "llamacpp": {"cpu": _llamacpp}}

# Machines without a GPU may prepare an environment for those that have one: the GPU itself is not asked for.
_SGLANG_GPU_CHECK = "import torch, sglang; assert torch.version.cuda or torch.version.hip, 'torch has no GPU support'"
_SGLANG_CPU_CHECK = (
    "import torchvision, sglang.srt.entrypoints.http_server, sglang.srt.managers.scheduler\n"
    "from sglang.srt.platforms import current_platform\n"
    "assert type(current_platform).__name__ == 'PlainCpu', f'the active platform is {current_platform!r}'\n"
)


def _cpu_torch(packages: Path) -> Step:
    """torch without CUDA. pip's own sources come first; the local version ``+cpu`` keeps the CUDA build away."""
    version = _pinned(packages, "torch")
    default = re.search(r"^# torch-index: (\S+)$", packages.read_text(encoding="utf-8"), re.MULTILINE)
    index = os.environ.get(TORCH_INDEX, default[1] if default else "")
    if not index:
        return Step(title="torch", arguments=(f"torch=={version}",))
    elsewhere = ("--extra-index-url", index, f"torch=={version}+cpu")
    hint = f"Set {TORCH_INDEX} to an index that has CPU builds of torch."
    if TORCH_INDEX in os.environ:
        return Step(title="torch for the CPU", arguments=elsewhere, hint=hint)
    return Step(title="torch for the CPU", arguments=(f"torch=={version}+cpu",), fallback=elsewhere, hint=hint)


def _unsupported(engine: str) -> str | None:
    if engine != "sglang":
        return None
    if sys.platform != "linux":
        return f"SGLang runs on Linux; this is {platform.system()}."
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 34):
        return f"SGLang's wheels need glibc 2.34 or newer; this system has {libc or 'another C library'} {version}."
    return None


def _pinned(requirements: Path, package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{requirements.name} pins no {package}"
    return found[1]


def _template(name: str) -> Path:
    return paths.templates_dir() / "engines" / name


def _python() -> str:
    return f"py{sys.version_info.major}{sys.version_info.minor}"
