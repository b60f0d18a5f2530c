"""A home of its own for every test, the built-in model built once, and a fake hub that speaks to the real client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve.models import builtin
from tests.fakes.hub import FakeHub, Repo, folder

VARIABLES = (
    "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE", "HF_HOME",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, both formats in one folder. Do not write to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("built")))
        return builtin.build("safetensors")


@pytest.fixture
def safetensors_repo(tiny_folder: Path) -> Repo:
    files = folder(tiny_folder)
    del files["tiny.gguf"]
    return Repo(
        files | {"README.md": b"# Tiny", "modeling_tiny.py": b"raise SystemExit", "original/consolidated.pth": b"x"}
    )


@pytest.fixture
def gguf_repo(tiny_folder: Path) -> Repo:
    content = (tiny_folder / "tiny.gguf").read_bytes()
    return Repo({"tiny-Q8_0.gguf": content, "tiny-Q4_K_M.gguf": content, "mmproj-F16.gguf": b"GGUF", "README.md": b"#"})


@pytest.fixture
def hub(safetensors_repo: Repo, gguf_repo: Repo, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """``org/tiny``, ``org/tiny-GGUF`` and the gated ``org/gated``, which only the token ``reader`` may read."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import _detect_agent

    gated = Repo(safetensors_repo.files, readers={"reader"})
    repos = {"org/tiny": safetensors_repo, "org/tiny-GGUF": gguf_repo, "org/gated": gated}
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))  # read at import, before this test's home
    monkeypatch.setattr(_detect_agent, "_registry", {"standardEnvVars": [], "harnesses": {}})  # asks the real hub
    with FakeHub(repos, tokens={"reader", "stranger"}) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake
        huggingface_hub.close_session()
