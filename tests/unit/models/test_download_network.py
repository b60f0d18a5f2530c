"""The transfer through TLS and proxies."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models.hub.api import Hub
from llmserve.models.hub.download import download
from llmserve.models.hub.patience import Patience
from tests.fakes.hub import FakeHub, Fault, Repo
from tests.unit.models.pulled import BRUSQUE, CHUNK, HASTY, content, is_complete, made_up_hub, plan_of

SIZES = {"big.data": 20 * CHUNK + 5, "config.json": 300, "other.json": 5000}
"""None of them comes from the hub's other origin, which speaks no TLS."""


@pytest.fixture
def hub(home: Path) -> Iterator[FakeHub]:
    with made_up_hub(Repo({name: content(name, size) for name, size in SIZES.items()})) as hub:
        yield hub


@dataclass
class Relay:
    """Accepts connections and passes them on to ``port``: as they are, out of TLS, or as a proxy (``CONNECT``)."""

    port: int
    tls: ssl.SSLContext | None = None
    proxy: bool = False
    heads: list[bytes] = field(default_factory=list)
    cut: int | None = None

    @contextmanager
    def open(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()
            yield server.getsockname()[1]

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", self.port)) as far:
            if self.proxy:
                self.heads.append(near.recv(65536))
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if self.tls:
                near = self.tls.wrap_socket(near, server_side=True)
            threading.Thread(target=self._copy, args=(near, far), daemon=True).start()
            self._copy(far, near, self.cut)
            near.close()

    def _copy(self, source: socket.socket, target: socket.socket, cut: int | None = None) -> None:
        done = 0
        with suppress(OSError):
            while (data := source.recv(65536)) and (cut is None or done < cut):
                target.sendall(data)
                done += len(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=hub.invalid", "-addext", "subjectAltName=DNS:hub.invalid,IP:127.0.0.1", "-keyout", "key.pem",
         "-out", "ca.pem"], cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return folder / "ca.pem", context


def port_of(hub: FakeHub) -> int:
    return int(hub.url.rpartition(":")[2])


def pull(hub: FakeHub, endpoint: str, patience: Patience = HASTY) -> bool:
    return is_complete(hub, download(Hub(endpoint), plan_of(hub), patience=patience))


def test_tls(hub: FakeHub, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Relay(port_of(hub), certificate[1]).open() as port:
        assert pull(hub, f"https://127.0.0.1:{port}")


def test_tls_that_breaks_and_stalls(
    hub: FakeHub, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stalled connection is shut from another thread: nothing encrypted may get into the file by that."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    hub.faults.all = [Fault(kind="hang", after=3 * CHUNK, times=2), Fault(kind="reset", after=CHUNK, times=2)]
    with Relay(port_of(hub), certificate[1], cut=500_000).open() as port:
        assert pull(hub, f"https://127.0.0.1:{port}", BRUSQUE)


def test_a_certificate_that_nobody_signed_ends_it(hub: FakeHub, certificate: tuple[Path, ssl.SSLContext]) -> None:
    with Relay(port_of(hub), certificate[1]).open() as port, pytest.raises(LlmserveError) as caught:
        pull(hub, f"https://127.0.0.1:{port}")
    assert caught.value.code == "bad_certificate"
    assert hub.requests == []


def test_a_proxy_tunnels_https(
    hub: FakeHub, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    relay = Relay(port_of(hub), certificate[1], proxy=True)
    with relay.open() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{port}")
        assert pull(hub, "https://hub.invalid")
    password = base64.b64encode(b"me:s3cret")
    assert relay.heads
    assert all(head.startswith(b"CONNECT hub.invalid:443 HTTP/1.") for head in relay.heads)
    assert all(b"Proxy-Authorization: Basic " + password in head for head in relay.heads)


def test_a_proxy_passes_http(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake hub is the proxy as well: it looks at the path of an address alone."""
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    assert pull(hub, "http://hub.invalid")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_this_machine_needs_no_proxy(hub: FakeHub, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert pull(hub, hub.url)


def test_a_proxy_of_another_kind_is_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:s3cret@127.0.0.1:9")
    with pytest.raises(UsageError) as caught:
        pull(hub, "https://hub.invalid")
    assert "s3cret" not in str(caught.value.as_dict())


def test_a_mirror_with_a_password_gets_it(hub: FakeHub) -> None:
    seen: list[str | None] = []
    answer = hub.answer

    def look(exchange: Any) -> None:
        seen.append(exchange.headers.pop("authorization", None))
        answer(exchange)

    hub.answer = look  # type: ignore[method-assign]
    assert pull(hub, hub.url.replace("://", "://me:s3cret@"))
    assert set(seen) == {f"Basic {base64.b64encode(b'me:s3cret').decode()}"}


def test_no_errors_show_passwords_or_signatures(hub: FakeHub) -> None:
    hub.fault = Fault(kind="status", status=500, times=99)
    with pytest.raises(LlmserveError) as caught:
        download(Hub(hub.url.replace("://", "://me:s3cret@")), plan_of(hub), patience=replace(HASTY, tries=2))
    assert "s3cret" not in str(caught.value.as_dict())
