from __future__ import annotations

import pytest

from llmserve.endpoint.url import is_loopback, normalise
from llmserve.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        ("  http://127.0.0.1:8000/v1\n", "http://127.0.0.1:8000/v1"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1"),
        ("http://h:1/v1/chat/completions/", "http://h:1/v1"),
        ("http://h:1/v1/models", "http://h:1/v1"),
        ("https://h/api/openai/v1/embeddings", "https://h/api/openai/v1"),
        ("http://h:1/chat/completions", "http://h:1"),
        ("https://h/api", "https://h/api"),
        ("localhost:8000", "http://localhost:8000/v1"),
        ("localhost", "http://localhost/v1"),
        ("gpu-box:30000/v1", "http://gpu-box:30000/v1"),
        ("192.168.1.7", "http://192.168.1.7/v1"),
        ("api.example.com", "https://api.example.com/v1"),
        ("api.example.com:8000", "http://api.example.com:8000/v1"),
        ("node.local", "http://node.local/v1"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
        ("http://[fe80::1]/v1", "http://[fe80::1]/v1"),
        ("HTTPS://Api.Example.COM/V2", "https://api.example.com/V2"),
    ],
)
def test_what_people_type(typed: str, meant: str) -> None:
    assert normalise(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "", "http://", "8000", ":8000", "ftp://host/v1", "ws://host", "file:///etc/passwd", "http:/localhost:8000",
        "not a url", "http://host:port/v1", "http://host:99999", "http://host:0", "http://host/v1?x=1",
        "http://host/v1#top", "http://ho st/v1",
        "http://[::1", "http://-x/", "http://host/a b", "http://1.2.3/v1", "http://host\x1b[31m/v1", "http://a|b/",
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalise(typed)
    assert "http://127.0.0.1:8000/v1" in (caught.value.hint or "")
    assert "\x1b" not in caught.value.message


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        normalise("http://me:s3cret@host/v1")
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://a.localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://0.0.0.0:8000/v1", True),
        ("http://192.168.1.7/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://localhost.example.com/v1", False),
        ("https://api.example.com/v1", False),
    ],
)
def test_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback
