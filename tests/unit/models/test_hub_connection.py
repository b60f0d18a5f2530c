"""How a hub is reached: mirrors and their addresses, proxies, certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from llmserve.errors import LlmserveError, UsageError
from llmserve.models.hub import connection
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from tests.fakes.scripted import Answer, Request, about, scripted

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def usual_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def unreachable(endpoint: str | None = None) -> LlmserveError:
    with closing(Hub(endpoint)) as hub, pytest.raises(LlmserveError) as caught:
        hub.listing("org/x")
    return caught.value


@pytest.mark.parametrize("written", ["{}", "{}/", "{}//", "{}/hf", "{}/hf/", "  {}/hf \n"])
def test_addresses_of_mirrors(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    with scripted(lambda _: Answer(about(), headers=JSON)) as server:
        monkeypatch.setenv("HF_ENDPOINT", written.format(server.url))
        with closing(Hub()) as hub:
            found = hub.listing("org/x", "refs/pr/1")
            prefix = "/hf" if "hf" in written else ""
            assert server.requests[0].path == f"{prefix}/api/models/org/x/revision/refs%2Fpr%2F1?blobs=true"
            assert hub.url(found, "a b.json") == f"{server.url}{prefix}/org/x/resolve/{found.commit}/a%20b.json"


@pytest.mark.parametrize("address", ["hf-mirror.example", "ftp://x", "https://", "http://[", "x:y", "http://a:99999"])
def test_what_is_no_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    error = unreachable()
    assert isinstance(error, UsageError)
    assert error.code == "bad_endpoint"
    assert repr(address.rstrip("/")) in error.message


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://me:s3cret@127.0.0.1:9/hf")
    error = unreachable()
    assert "http://127.0.0.1:9/hf" in error.message
    assert "s3cret" not in str(error.as_dict())
    assert hub_settings.shown("me:s3cret@host") == "host"


def test_a_mirror_with_a_password_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda _: Answer(about(), headers=JSON)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url.replace("://", "://me:s3cret@"))
        with closing(Hub()) as hub:
            hub.listing("org/x")
    assert server.requests[0].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "{home}/cache/huggingface/hub"),
        ({"HF_HOME": "{home}/h"}, "{home}/h/hub"),
        ({"HF_HOME": "{home}/h", "HF_HUB_CACHE": "{home}/c"}, "{home}/c"),
        ({"HUGGINGFACE_HUB_CACHE": "{home}/o"}, "{home}/o"),
        ({"HF_HOME": "~/h"}, "{home}/h/hub"),
        ({"HF_HUB_CACHE": "$HF_HOME/c", "HF_HOME": "{home}/h"}, "{home}/h/c"),
        ({"XDG_CACHE_HOME": "{home}/x"}, "{home}/x/huggingface/hub"),
    ],
)
def test_where_the_cache_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=home))
    assert hub_settings.cache_folder() == Path(folder.format(home=home))


def through(request: Request) -> Answer:
    """A proxy that is the hub as well."""
    return Answer(about(), headers=JSON) if request.path.startswith("http://") else Answer(b"", 404)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with scripted(through) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        with closing(Hub("http://hub.invalid")) as hub:
            assert hub.listing("org/x").files
    assert [request.path for request in proxy.requests] == ["http://hub.invalid/api/models/org/x?blobs=true"]


def test_a_proxy_tunnels_https(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda _: Answer(b"", 403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://me:s3cret@"))
        error = unreachable("https://hub.invalid")
    assert [(request.method, request.path) for request in proxy.requests] == [("CONNECT", "hub.invalid:443")]
    assert error.message.startswith(
        f"The hub at https://hub.invalid cannot be reached through the proxy {proxy.url}: 403"
    )
    assert "s3cret" not in str(error.as_dict())


@pytest.mark.parametrize("exception", ["hub.invalid", "*", ".invalid"])
def test_some_hosts_need_no_proxy(monkeypatch: pytest.MonkeyPatch, exception: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exception)
    assert connection.proxy("http://hub.invalid") is None
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "no name")))
    error = unreachable("http://hub.invalid")
    assert "through" not in error.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with (
        scripted(lambda _: Answer(about(), headers=JSON)) as server,
        closing(Hub(server.url.replace("127.0.0.1", host))) as hub,
    ):
        assert hub.listing("org/x").files


def test_a_proxy_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@127.0.0.1:9")
    error = unreachable("https://hub.invalid")
    assert "through the proxy http://127.0.0.1:9: Connection refused" in error.message
    assert "s3cret" not in str(error.as_dict())


@pytest.mark.parametrize("proxy", ["ftp://me:s3cret@x:1", "socks5://me:s3cret@127.0.0.1:9", "http://a:b:c"])
def test_what_is_no_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = unreachable("https://hub.invalid")
    assert (type(error), error.code) == (UsageError, "bad_proxy")
    assert "s3cret" not in str(error.as_dict())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server's context with it."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", "key.pem", "-out", "ca.pem",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return folder / "ca.pem", context


def test_a_certificate_that_nobody_signed(authority: tuple[Path, ssl.SSLContext]) -> None:
    with scripted(lambda _: Answer(about(), headers=JSON), tls=authority[1]) as server:
        error = unreachable(server.url)
    assert error.message == f"The certificate of the hub at {server.url} is not trusted: self-signed certificate."
    assert "SSL_CERT_FILE=" in (error.hint or "")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority[0]))
    with (
        scripted(lambda _: Answer(about(), headers=JSON), tls=authority[1]) as server,
        closing(Hub(server.url)) as hub,
    ):
        assert hub.listing("org/x").files


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_that_cannot_be_read(home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    path = home / "ca.pem"
    if content:
        path.write_bytes(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    error = unreachable("https://127.0.0.1:9")
    assert (type(error), error.code) == (UsageError, "bad_certificates")
    assert error.message == f"REQUESTS_CA_BUNDLE names certificates that cannot be read: {path}."


def test_https_to_who_speaks_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda _: Answer(b"")) as server:
        error = unreachable(server.url.replace("http:", "https:"))
    assert "does not speak TLS" in error.message
