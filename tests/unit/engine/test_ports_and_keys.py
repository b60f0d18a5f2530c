"""Ports are refused before anything is loaded; keys never come from the command line."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from llmserve.engine import keys
from llmserve.engine.ports import DEFAULT_PORT, choose_port, numeric
from llmserve.errors import LlmserveError, UsageError


@pytest.fixture
def taken() -> object:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_refused_with_its_owner(taken: int) -> None:
    with pytest.raises(LlmserveError) as caught:
        choose_port("127.0.0.1", taken)
    assert caught.value.code == "port_in_use"
    assert f"pid {os.getpid()}" in caught.value.message


def test_without_a_wish_the_first_free_port_is_taken() -> None:
    first = choose_port("127.0.0.1", None)
    assert first >= DEFAULT_PORT
    assert choose_port("127.0.0.1", None, reserved={first: "a"}) > first


def test_a_port_reserved_by_a_loading_server_is_taken() -> None:
    free = choose_port("127.0.0.1", 0)
    with pytest.raises(LlmserveError, match=f"Port {free} is in use by the server 'b'"):
        choose_port("127.0.0.1", free, reserved={free: "b"})


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError):
        choose_port(host, 31_234)


@pytest.mark.parametrize(
    ("host", "expected"), [("localhost", "127.0.0.1"), ("127.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "0.0.0.0")]
)
def test_a_host_becomes_one_numeric_address(host: str, expected: str) -> None:
    assert numeric(host) == expected


@pytest.mark.parametrize("host", ["", "0", "no such host", "-x"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(UsageError):
        numeric(host)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.ENVIRONMENT, raising=False)


def test_loopback_needs_no_key_and_any_other_address_gets_one() -> None:
    assert keys.api_key(None, "127.0.0.1") is None
    assert keys.api_key(None, "localhost") is None
    made = keys.api_key(None, "0.0.0.0")
    assert made
    assert made.startswith("sk-")
    assert made != keys.api_key(None, "0.0.0.0")


def test_a_file_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.ENVIRONMENT, "from-environment")
    assert keys.api_key(None, "127.0.0.1") == "from-environment"
    (tmp_path / "key").write_text("from-the-file\n")
    assert keys.api_key(str(tmp_path / "key"), "127.0.0.1") == "from-the-file"


@pytest.mark.parametrize("text", ["", "short", "has space in it", "quote'quote'quote", 'x"' * 9, "ü" * 20])
def test_a_key_that_no_header_carries_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(UsageError) as caught:
        keys.api_key(str(tmp_path / "key"), "127.0.0.1")
    assert not text or text not in caught.value.message


def test_a_missing_key_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        keys.api_key(str(tmp_path / "none"), "127.0.0.1")


def test_a_kept_key_is_private(tmp_path: Path) -> None:
    path = keys.keep("sk-test-key", tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "sk-test-key\n"
