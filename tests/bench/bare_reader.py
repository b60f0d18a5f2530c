"""A loop that asks and only reads: what a client in Python costs at the least, on this machine and at this moment.

    python -m tests.bench.bare_reader URL STREAMS REQUESTS TOKENS

prints the CPU µs per token.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from urllib.parse import urlsplit

SO_TIMESTAMPNS = 35
END = b"0\r\n\r\n"


def main(url: str, streams: int, requests: int, tokens: int) -> float:
    parts = urlsplit(url)
    asked = {"model": "paced", "messages": [{"role": "user", "content": "a " * 24}], "max_tokens": tokens,
             "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
    body = json.dumps(asked).encode()
    payload = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    epoll, socks = select.epoll(), {}
    for _ in range(streams):
        sock = socket.create_connection((parts.hostname or "", parts.port or 80))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setblocking(False)
        epoll.register(sock.fileno(), select.EPOLLIN)
        socks[sock.fileno()] = sock
    before, left, more = os.times(), requests, requests - streams
    for sock in socks.values():
        sock.send(payload)
    while left:
        events = epoll.poll(1, 256)
        for fd, _ in events:
            data, _, _, _ = socks[fd].recvmsg(16384, 32)
            if data.endswith(END):
                left, more = left - 1, more - 1
                if more >= 0:
                    socks[fd].send(payload)
        if len(events) < 128:
            time.sleep(0.001)
    after = os.times()
    return (after.user + after.system - before.user - before.system) / requests / tokens * 1e6


if __name__ == "__main__":
    print(main(sys.argv[1], *map(int, sys.argv[2:5])))
