"""https: the same figures through TLS, certificates verified; and endpoints that misbehave as a whole."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve.app import run
from tests.fakes.endpoint import FakeEndpoint, Reply, Seen, error, models, stream, usage

Capture = pytest.CaptureFixture[str]
CHAT = "/v1/chat/completions"
ASKED = ("-c", "3", "-n", "7", "--input", "20", "--output", "2", "--warmup", "0", "--json")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    make = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 -keyout key.pem"
    )
    subprocess.run(
        ["openssl", *make.split(), "-out", "ca.pem", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def secure(authority: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    with FakeEndpoint({"/v1/models": models("tiny"), CHAT: counted}) as fake, Tunnel(fake.host, context) as url:
        yield url


def counted(seen: Seen) -> Reply:
    """Two tokens, and a word of the question is one."""
    return stream("Hel", "lo", tokens=usage(4 + len(seen.json["messages"][0]["content"].split()), 2))


class Tunnel:
    """TLS in front of a server; each connection in a thread of its own."""

    def __init__(self, host: str, context: ssl.SSLContext) -> None:
        self.port, self.context = int(host.rpartition(":")[2]), context
        self.listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> str:
        threading.Thread(target=self._accept, daemon=True).start()
        return f"https://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One request and its answer, to the end."""
        try:
            with (
                self.context.wrap_socket(client, server_side=True) as outer,
                socket.create_connection(("127.0.0.1", self.port)) as inner,
            ):
                inner.sendall(self._request(outer))
                while piece := inner.recv(65536):
                    outer.sendall(piece)
        except OSError:
            client.close()

    def _request(self, outer: ssl.SSLSocket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = outer.recv(65536)
            if not piece:
                raise ConnectionResetError
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += outer.recv(65536)
        return head + b"\r\n\r\n" + body


def test_through_tls(secure: str, authority: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    assert run(["bench", "--base-url", secure, *ASKED]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["requests"]["ok"] == 7
    assert data["requests"]["failed"] == 0
    assert data["tokens"]["output"] == 14
    assert data["ttft_ms"]["count"] == 7


def test_a_certificate_that_nobody_signed_is_an_error(secure: str, capsys: Capture) -> None:
    assert run(["bench", "--base-url", secure, *ASKED]) == 1
    body = json.loads(capsys.readouterr().out)
    assert "certificate" in body["errors"][0]["message"] or "tls" in body["errors"][0]["message"].lower()


def test_a_storm_of_429_is_counted_and_ends() -> None:
    """Learning works, the load does not: after 128 failures in a row nothing more is sent."""
    answers = iter(range(10**9))

    def answer(seen: Seen) -> Reply:
        return counted(seen) if next(answers) < 4 else error(429, "slow down", type="rate_limit")

    with FakeEndpoint({"/v1/models": models("tiny"), CHAT: answer}) as fake:
        assert run(["bench", "--base-url", fake.url, "-c", "4", "-n", "100000", "--warmup", "0", "-q"]) == 1
        assert 128 <= len(fake.requests) < 400


def test_an_endpoint_that_dies_in_the_middle_ends_the_run(capsys: Capture) -> None:
    served = iter(range(10**9))
    fake = FakeEndpoint({"/v1/models": models("tiny")})

    def answer(seen: Seen) -> Reply:
        if next(served) == 30:
            fake._server.socket.close()
        return counted(seen)

    fake.routes[CHAT] = answer
    with fake:
        assert run(["bench", "--base-url", fake.url, "-c", "2", "-n", "100000", "--warmup", "0", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["requests"]["ok"] >= 10
    assert data["requests"]["by_cause"].keys() <= {"connect", "reset", "truncated"}
    assert 100 < data["requests"]["failed"] < 400
    assert any("failed" in note for note in data["notes"])
