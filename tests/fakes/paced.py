"""A mock endpoint that streams at a set pace and writes down when it really wrote each chunk.

    python -m tests.fakes.paced --ttft 100 --itl 10 --truth truth.jsonl

prints its URL on the first line. One epoll loop in one process; nothing is computed between a due time and its write.
All streams step together, as an engine's do. How an answer behaves is asked for in the model's name:
``paced:role,reasoning=64,per_chunk=4,comment,late_usage,joined_finish,itl=0,ttft=20``.
``fault=KIND`` makes every request for more than one token fail; ``faults=5`` every fifth, of five kinds in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import select
import signal
import socket
import struct
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

__all__ = ["FAULTS", "Paced"]

FAULTS = ("status_500", "status_429", "reset", "truncated", "in_stream_error")
MORE_FAULTS = ("malformed", "missing_finish", "bad_http", "silent", "cut_chunk", "empty")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SO_TIMESTAMPNS = 35
MOMENT = 0.0015
OVERHEAD = 8  # tokens that a prompt costs beside its words


Step = tuple[float, bytes | str, int]


@dataclass(slots=True)
class Stream:
    """One answer on its way. A step is seconds after the one before, bytes (or how to break), and tokens in them.

    ``written`` are the real times of the steps with tokens.
    """

    sock: socket.socket
    number: int
    arrived: int
    steps: Sequence[Step] = ()
    at: int = 0
    due: float = 0.0
    written: array[int] = field(default_factory=lambda: array("q"))
    tokens: array[int] = field(default_factory=lambda: array("h"))
    fault: str = ""


class Paced:
    """The server. ``serve`` runs until SIGTERM; ``truth`` gets a line per answer."""

    def __init__(self, *, ttft: float = 100.0, itl: float = 10.0, truth: Path | None = None, port: int = 0) -> None:
        self.ttft, self.itl = ttft, itl
        self.truth, self.ended = truth, list[Stream]()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.numbers, self.order = count(), count()
        self.due: list[tuple[float, int, Stream]] = []
        self.epoll = select.epoll()
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.clients: dict[int, socket.socket] = {}
        self.partial: dict[int, bytes] = {}
        self.plans: dict[tuple[Any, ...], Sequence[Step]] = {}
        self.most_clients = 0
        self.prompt_tokens = self.completion_tokens = 0

    def serve(self) -> None:
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                self._step(heapq.heappop(self.due)[2])
            wait = self.due[0][0] - time.monotonic() if self.due else 1.0
            whole = int(wait * 1e3) / 1e3  # epoll knows milliseconds; the rest is slept, and late by less than 0.1 ms
            if 0 < wait < MOMENT:
                time.sleep(wait)
                whole = 0.0
            for fd, _ in self.epoll.poll(max(0.0, whole), 64):
                if fd == self.listener.fileno():
                    self._accept()
                else:
                    self._read(fd)

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self.listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self.clients[client.fileno()] = client
                self.most_clients = max(self.most_clients, len(self.clients))
                self.epoll.register(client.fileno(), select.EPOLLIN)
        except BlockingIOError:
            return

    def _read(self, fd: int) -> None:
        client = self.clients[fd]
        try:
            data, ancillary, _, _ = client.recvmsg(1 << 20, 64)
        except OSError:
            data = b""
        if not data:
            self._close(fd)
            return
        stamp = time.time_ns()
        for _, _, raw in ancillary:
            seconds, nanoseconds = struct.unpack("@ll", raw)
            stamp = seconds * 10**9 + nanoseconds
        data = self.partial.pop(fd, b"") + data
        head, blank, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if not blank or len(body) < length:
            self.partial[fd] = data
            return
        self._request(client, head, body, stamp)

    def _close(self, fd: int) -> None:
        self.partial.pop(fd, None)
        client = self.clients.pop(fd, None)
        if client:
            client.close()

    def _request(self, client: socket.socket, head: bytes, body: bytes, stamp: int) -> None:
        if head.startswith(b"GET"):
            self._whole(client, self._get(head.split(b" ")[1]))
            return
        asked = json.loads(body)
        options = _options(asked.get("model", ""))
        stream = Stream(client, next(self.numbers), stamp)
        stream.fault = _fault(options, stream.number, _limit(asked))
        prompt = _prompt(asked)
        self.prompt_tokens += prompt
        stream.steps = self._plan(asked, options, stream.fault, prompt)
        self._schedule(stream, time.monotonic() - (time.time_ns() - stamp) / 1e9)

    def _plan(self, asked: dict[str, Any], options: dict[str, str], fault: str, prompt: int) -> Sequence[Step]:
        """Made once for all requests of a kind: nothing is computed between a due time and its write."""
        kind = (
            asked.get("model"),
            fault,
            prompt,
            _limit(asked),
            "prompt" in asked,
            "input" in asked,
            "stream" in asked,
        )
        if kind not in self.plans:
            self.plans[kind] = list(Plan(asked, options, self.ttft, self.itl, fault).writes())
        return self.plans[kind]

    def _get(self, path: bytes) -> tuple[bytes, bytes]:
        if path.endswith(b"/models"):
            return b"application/json", json.dumps(
                {"object": "list", "data": [{"id": "paced", "object": "model"}]}
            ).encode()
        if not path.endswith(b"/counters"):
            return b"", b""
        return b"application/json", json.dumps(
            {"clients": len(self.clients), "most_clients": self.most_clients, "prompt_tokens": self.prompt_tokens,
             "completion_tokens": self.completion_tokens}
        ).encode()  # fmt: skip

    def _whole(self, client: socket.socket, answer: tuple[bytes, bytes]) -> None:
        kind, body = answer
        if not body:
            client.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        client.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body))

    def _schedule(self, stream: Stream, base: float) -> None:
        if stream.at == len(stream.steps):
            self._log(stream)
            return
        stream.due = base + stream.steps[stream.at][0]
        heapq.heappush(self.due, (stream.due, next(self.order), stream))

    def _step(self, stream: Stream) -> None:
        _, data, tokens = stream.steps[stream.at]
        stream.at += 1
        if isinstance(data, str):
            self._break(stream, data)
            return
        stamp = time.time_ns()
        try:
            stream.sock.send(data)
        except OSError:
            self._log(stream)
            return
        if tokens:
            stream.written.append(stamp)
            stream.tokens.append(tokens)
            self.completion_tokens += tokens
        self._schedule(stream, stream.due)

    def _break(self, stream: Stream, how: str) -> None:
        self._log(stream)
        if how == "silent":
            return
        if how == "reset":
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close(stream.sock.fileno())

    def _log(self, stream: Stream) -> None:
        if self.truth:
            self.ended.append(stream)

    def tell(self) -> None:
        """Write the truth down: at the end, for it takes time that no chunk may wait."""
        if self.truth is None:
            return
        with self.truth.open("w") as file:
            for one in self.ended:
                told = {"number": one.number, "arrived": one.arrived, "written": list(one.written),
                        "tokens": list(one.tokens), "fault": one.fault}  # fmt: skip
                file.write(json.dumps(told) + "\n")


class Plan:
    """What is written for one request."""

    def __init__(self, asked: dict[str, Any], options: dict[str, str], ttft: float, itl: float, fault: str) -> None:
        self.asked, self.options, self.fault = asked, options, fault
        self.ttft = float(options.get("ttft", ttft)) / 1e3
        self.itl = float(options.get("itl", itl)) / 1e3
        self.tokens = _limit(asked)
        self.per_chunk = int(options.get("per_chunk", 1))
        self.text = "text" if "prompt" in asked else "delta"
        self.base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "paced"}

    def writes(self) -> Iterator[tuple[float, bytes | str, int]]:
        fault = self.fault
        if fault.startswith("status_"):
            body = b'{"error":{"message":"injected","type":"server_error"}}'
            yield 0.0, b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
                int(fault[7:]), len(body), body), 0  # fmt: skip
            return
        if "input" in self.asked and not self.asked.get("stream"):
            usage = {"prompt_tokens": _prompt(self.asked), "total_tokens": _prompt(self.asked)}
            body = json.dumps({"data": [{"embedding": [0.5] * 8, "index": 0}], "usage": usage}).encode()
            yield self.ttft, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
                len(body), body), 0  # fmt: skip
            return
        if fault in ("silent", "bad_http"):
            yield (0.0, "silent", 0) if fault == "silent" else (0.0, b"SSH-2.0-OpenSSH\r\n\r\n", 0)
            return
        yield 0.0, HEAD, 0
        yield from self._stream(fault)

    def _stream(self, fault: str) -> Iterator[tuple[float, bytes | str, int]]:
        if "role" in self.options:
            yield 0.0, self._chunk({"role": "assistant", "content": ""}), 0
        wait, sent = self.ttft, 0
        thoughts, answer = int(self.options.get("reasoning", 0)), self._texts()
        while sent < self.tokens and fault != "empty":
            if fault and sent >= self.tokens // 2:
                yield from self._fail(fault)
                if fault not in ("missing_finish",):
                    return
            part = min(self.per_chunk, self.tokens - sent, thoughts - sent if sent < thoughts else self.tokens)
            field_ = "reasoning_content" if sent < thoughts else "content"
            if "comment" in self.options and sent % 8 == 0:
                yield wait, _framed(b": keep-alive\n\n"), 0
                wait = 0.0
            last = sent + part == self.tokens and "joined_finish" in self.options
            said = {field_: "".join(next(answer) for _ in range(part))}
            yield wait, self._chunk(said, finish="length" if last else None), part
            sent, wait = sent + part, self.itl * (min(self.per_chunk, self.tokens - sent) or 1)
        yield from self._end(sent, fault)

    def _texts(self) -> Iterator[str]:
        return (f" tok{number % 10}" for number in count())

    def _end(self, sent: int, fault: str) -> Iterator[tuple[float, bytes | str, int]]:
        if fault != "missing_finish" and "joined_finish" not in self.options:
            yield 0.0, self._chunk({}, finish="length" if sent else "stop"), 0
        if "late_usage" in self.options:
            yield 0.05, b"", 0
        if (self.asked.get("stream_options") or {}).get("include_usage") and fault not in ("empty", "missing_finish"):
            usage = {"prompt_tokens": _prompt(self.asked), "completion_tokens": sent}
            yield 0.0, _framed(_event({**self.base, "choices": [], "usage": usage})), 0
        yield 0.0, _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n", 0

    def _fail(self, fault: str) -> Iterator[tuple[float, bytes | str, int]]:
        if fault == "in_stream_error":
            yield 0.0, _framed(_event({"error": {"message": "injected", "code": 500}})) + b"0\r\n\r\n", 0
        elif fault == "malformed":
            yield 0.0, _framed(b"data: {not json\n\n") + b"0\r\n\r\n", 0
        elif fault == "cut_chunk":
            yield 0.0, b"100\r\ndata: {", 0
            yield 0.0, "truncated", 0
        elif fault in ("reset", "truncated"):
            yield 0.0, fault, 0

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        said = {"text": delta.get("content", "")} if self.text == "text" else {"delta": delta}
        return _framed(
            _event({**self.base, "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish}]})
        )


def _event(data: object) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _limit(asked: dict[str, Any]) -> int:
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return next((int(asked[name]) for name in names if name in asked), 16)


def _prompt(asked: dict[str, Any]) -> int:
    said = asked.get("prompt") or asked.get("input") or asked.get("messages") or ""
    contents = [said] if isinstance(said, str) else [message["content"] for message in said]
    texts = [_text(content) for content in contents]
    return OVERHEAD + sum(len(text.split()) for text in texts)


def _text(content: str | list[dict[str, Any]]) -> str:
    """Of a message whose content may be parts."""
    return content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content)


def _options(model: str) -> dict[str, str]:
    _, _, rest = model.partition(":")
    return {name: value for name, _, value in (part.partition("=") for part in rest.split(",") if part)}


def _fault(options: dict[str, str], number: int, tokens: int) -> str:
    if tokens == 1:  # how a client learns what words cost
        return ""
    if "faults" in options and number % 5 == 4:
        return FAULTS[number // 5 % len(FAULTS)]
    return options.get("fault", "")


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ttft", type=float, default=100.0)
    parser.add_argument("--itl", type=float, default=10.0)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    server = Paced(ttft=options.ttft, itl=options.itl, truth=options.truth, port=options.port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(server.url, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()
    server.tell()


if __name__ == "__main__":
    main(sys.argv[1:])
