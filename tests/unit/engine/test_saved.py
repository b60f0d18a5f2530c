"""What a server was started with, kept without its keys and put together again with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve.engine import keys, saved
from llmserve.engine.base import Launch
from llmserve.engine.launch import Request
from llmserve.engine.server import Server
from llmserve.errors import LlmserveError
from tests.fakes.plans import on_the_cpu

KEY, ADMIN = "sk-canary-0123456789", "sk-admin-canary-0123456789"


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    server = Server(
        name="tiny", directory=str(tmp_path), url="http://127.0.0.1:1/v1", host="127.0.0.1", port=1, model="tiny",
        engine="sglang", engine_version="1", plan=on_the_cpu(), key_file=str(keys.keep(KEY, tmp_path)),
        admin_key_file=str(keys.keep(ADMIN, tmp_path, keys.ADMIN_FILE)),
    )  # fmt: skip
    files = {"sglang.yaml": f'api-key: "{KEY}"\nadmin-api-key: "{ADMIN}"\n'}
    launch = Launch(argv=("python", "-m", "x"), env={"A": "b"}, files=files, secrets=(KEY, ADMIN))
    return Request(server=server, launch=launch, api_key=KEY, timeout=5.0, patient=True, restart=False, kept=("--x",))


def test_it_is_put_together_as_it_was(request_: Request) -> None:
    saved.save(request_)
    assert saved.load(request_.server) == request_


def test_no_key_stands_in_the_file(request_: Request, tmp_path: Path) -> None:
    saved.save(request_)
    text = (tmp_path / saved.FILE).read_text()
    assert KEY not in text
    assert ADMIN not in text
    assert json.loads(text)["launch"]["argv"] == ["python", "-m", "x"]
    assert (tmp_path / saved.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [None, "", "[]", '{"launch": 1}'])
def test_what_cannot_be_read_is_said(request_: Request, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / saved.FILE).write_text(text)
    with pytest.raises(LlmserveError) as caught:
        saved.load(request_.server)
    assert caught.value.code == "not_restartable"


def test_a_server_without_keys(request_: Request) -> None:
    server = replace(request_.server, key_file=None, admin_key_file=None)
    plain = replace(request_, server=server, api_key=None, launch=Launch(argv=("x",)))
    saved.save(plain)
    assert saved.load(server) == plain
