"""Packs a folder into a wheel. A wheel is a zip file, so this needs no build backend, which pip would have to fetch."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nGenerator: llmserve\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_METADATA = ("METADATA", "entry_points.txt")


def sources(folder: Path) -> list[Path]:
    """The files of ``folder`` that go into its wheel, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def pack(folder: Path, target: Path) -> Path:
    """Write the wheel of ``folder`` into ``target`` and return its path.

    ``folder`` holds ``METADATA`` (with name and version), perhaps ``entry_points.txt``, and what shall lie at the top
    of site-packages.
    """
    headers = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8"))
    name = f"{headers['Name'].replace('-', '_')}-{headers['Version']}"
    info = f"{name}.dist-info"
    files = {f"{info}/WHEEL": _WHEEL.encode()}
    for path in sources(folder):
        inside = path.relative_to(folder).as_posix()
        files[f"{info}/{inside}" if inside in _METADATA else inside] = path.read_bytes()
    wheel = target / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for inside, content in files.items():
            archive.writestr(zipfile.ZipInfo(inside), content)  # a ZipInfo has no clock: the same wheel every time
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), _record(files) + f"{info}/RECORD,,\n")
    return wheel


def _record(files: dict[str, bytes]) -> str:
    return "".join(f"{inside},sha256={_digest(content)},{len(content)}\n" for inside, content in files.items())


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
