"""Where llmserve keeps things (XDG folders), and how it writes them: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import PlatformDirs

_DIRS = PlatformDirs("llmserve", appauthor=False)


def config_file() -> Path:
    return Path(_DIRS.user_config_dir) / "config.toml"


def state_dir() -> Path:
    """What llmserve remembers from one run to the next."""
    return Path(_DIRS.user_state_dir)


def servers_dir() -> Path:
    """State of servers: one private folder each."""
    return state_dir() / "servers"


def engines_dir() -> Path:
    """Environments that llmserve built for engines; large, and worth keeping."""
    return Path(_DIRS.user_data_dir) / "engines"


def cache_dir() -> Path:
    return Path(_DIRS.user_cache_dir)


def templates_dir() -> Path:
    """The data shipped with the package; in a checkout it stands at the top of the tree."""
    packaged = Path(__file__).parent / "templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"


def private_dir(path: Path) -> Path:
    """Create ``path`` readable by its owner alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_atomic(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace ``path`` in one step, so that a reader or a crash never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
