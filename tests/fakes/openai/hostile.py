"""Servers that mean harm, or are broken beyond what anybody would call an API."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.fakes.openai.answer import Answer, Request
from tests.fakes.openai.deviation import Deviation

__all__ = ["HOSTILE", "Hostile"]

Pieces = Iterable[bytes | float]
_OK = b"HTTP/1.1 200 OK\r\n"
_JSON = _OK + b"Content-Type: application/json\r\nConnection: close\r\n"
_SSE = _OK + b"Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"a"},"finish_reason":null}]}\n\n'
)
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x1b[31mred\u009b31m\u202e\x08\x7f"


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """``pieces`` make the answer to every request but those for the list of models where ``models`` is to be true."""

    name: str
    pieces: Callable[[Request], Pieces]
    honest_models: bool = True
    slow: bool = False

    @property
    def deviation(self) -> Deviation:
        def answer(request: Request, given: Answer) -> Answer:
            if self.honest_models and request.route == "models":
                return given
            return Answer(whole=self.pieces(request))

        return Deviation(name=self.name, areas=(), answer=answer)


def _sized(body: bytes, headers: bytes = b"") -> list[bytes | float]:
    return [_JSON + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body]


def _fixed(*pieces: bytes | float) -> Callable[[Request], Pieces]:
    return lambda _: pieces


def _body(body: bytes, headers: bytes = b"") -> Callable[[Request], Pieces]:
    made = _sized(body, headers)
    return lambda _: made


def _endless(head: bytes, piece: bytes) -> Callable[[Request], Pieces]:
    return lambda _: itertools.chain([head], itertools.repeat(piece))


def _dripping(_: Request) -> Pieces:
    yield _SSE
    for place in itertools.count():
        yield _CHUNK[place % len(_CHUNK) :][:1]
        yield 0.05


def _dripping_head(_: Request) -> Pieces:
    for letter in _OK * 50:
        yield bytes([letter])
        yield 0.05


def _chat(content: str) -> bytes:
    import json

    message = {"role": "assistant", "content": content, "refusal": None}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return json.dumps({
        "id": content, "object": "chat.completion", "created": 1, "model": content,
        "choices": [{"index": 0, "message": message, "finish_reason": content, "logprobs": None}], "usage": usage,
    }).encode()  # fmt: skip


_BOMB = gzip.compress(bytes(200 * 1024**2), 9)
_PACKED = b"Content-Encoding: gzip\r\n"
_DEEP = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

HOSTILE = (
    Hostile(name="endless stream", pieces=_endless(_SSE, _CHUNK * 200)),
    Hostile(name="endless comment", pieces=_endless(_SSE, b": wait\n\n" * 4000)),
    Hostile(name="line of a gigabyte", pieces=_endless(_SSE, b"a" * 65536)),
    Hostile(name="body of a gigabyte", pieces=_endless(_JSON + b"Content-Length: 1073741824\r\n\r\n", b" " * 65536)),
    Hostile(name="header of a gigabyte", pieces=_endless(_OK + b"X-A: ", b"a" * 65536), honest_models=False),
    Hostile(name="headers without end", pieces=_endless(_OK, b"X-A: a\r\n" * 500), honest_models=False),
    Hostile(name="interim answers without end", pieces=_endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)),
    Hostile(name="one byte at a time", pieces=_dripping, slow=True),
    Hostile(name="one byte of the head at a time", pieces=_dripping_head, honest_models=False, slow=True),
    Hostile(name="silence", pieces=_fixed(5.0), honest_models=False, slow=True),
    Hostile(name="silence after the head", pieces=_fixed(_JSON + b"Content-Length: 9\r\n\r\n", 5.0), slow=True),
    Hostile(name="hangs up at once", pieces=_fixed(), honest_models=False),
    Hostile(name="length too long", pieces=_fixed(_JSON + b"Content-Length: 500\r\n\r\n" + b"{}")),
    Hostile(name="length too short", pieces=_fixed(_JSON + b"Content-Length: 4\r\n\r\n" + _chat("hi"))),
    Hostile(name="length negative", pieces=_fixed(_JSON + b"Content-Length: -1\r\n\r\n{}")),
    Hostile(name="two lengths", pieces=_fixed(_JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")),
    Hostile(name="length of many digits", pieces=_fixed(_JSON + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n{}")),
    Hostile(name="chunks of nonsense",
        pieces=_fixed(_JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")),
    Hostile(name="chunk without end", pieces=_endless(
        _JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 15 + b"\r\n", b"a" * 65536)),
    Hostile(name="gzip bomb", pieces=_body(_BOMB, _PACKED)),
    Hostile(name="gzip that is none", pieces=_body(_chat("hi"), _PACKED)),
    Hostile(name="gzip cut short", pieces=_body(gzip.compress(_chat("hi"))[:-12], _PACKED)),
    Hostile(name="deflate without head", pieces=_body(zlib.compress(_chat("hi"))[2:-4],
        b"Content-Encoding: deflate\r\n")),
    Hostile(name="unknown coding", pieces=_body(_chat("hi"), b"Content-Encoding: br\r\n")),
    Hostile(name="invalid UTF-8", pieces=_body(b'{"choices":[{"message":{"content":"\xff\xfe\xc3"}}],"id":"\x80"}')),
    Hostile(name="NaN and Infinity", pieces=_body(
        b'{"choices":[{"index":NaN,"message":{"content":"x"},"logprobs":{"content":[{"logprob":-Infinity}]}}],'
        b'"created":NaN,"usage":{"prompt_tokens":Infinity,"completion_tokens":1e999,"total_tokens":NaN}}')),
    Hostile(name="deep JSON", pieces=_body(_DEEP)),
    Hostile(name="number of many digits", pieces=_body(b'{"created":' + b"9" * 100_000 + b',"choices":[{}]}')),
    Hostile(name="numbers for everything", pieces=_body(
        b'{"id":1,"object":2,"created":"x","model":[],"choices":{"0":1},"usage":[1],"error":0,"data":"no","output":7}')),
    Hostile(name="nulls in lists", pieces=_body(b'{"choices":[null],"data":[null],"output":[null],"usage":null}')),
    Hostile(name="half a character", pieces=_body(_chat("\ud83d \ud800 \x00"))),
    Hostile(name="terminal escapes", pieces=_body(_chat(ESCAPES))),
    Hostile(name="escapes in an error", pieces=_fixed(
        b"HTTP/1.1 400 \x1b[31mBad\r\nX-Request-Id: \x1b[2J\r\nConnection: close\r\nContent-Length: 61\r\n\r\n",
        b'{"error":{"message":"\\u001b[2J\\u001b]0;x\\u0007","type":"\\u009b"}}')),
    Hostile(name="login page", pieces=_fixed(
        _OK + b"Content-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html><title>Sign in</title>"),
            honest_models=False),
    Hostile(name="another protocol", pieces=_fixed(b"SSH-2.0-OpenSSH_9.9\r\n"), honest_models=False),
    Hostile(name="status that is none", pieces=_fixed(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n")),
    Hostile(name="status zero", pieces=_fixed(b"HTTP/1.1 000 \r\nContent-Length: 0\r\n\r\n")),
    Hostile(name="switching protocols", pieces=_fixed(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n")),
    Hostile(name="rate limit for ever", pieces=_fixed(
        b"HTTP/1.1 429 No\r\nRetry-After: 86400\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
    Hostile(name="retry after nonsense", pieces=_fixed(
        b"HTTP/1.1 503 No\r\nRetry-After: Fri, 99 Foo 9999999 00:00:00 GMT\r\n",
        b"Content-Length: 0\r\nConnection: close\r\n\r\n")),
)  # fmt: skip
