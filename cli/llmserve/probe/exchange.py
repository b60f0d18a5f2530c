"""One request and what came back: the evidence. Plain values, so that it can be written down and judged again."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Exchange", "Limits", "Request"]

MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent. ``target`` stands in the request line; ``headers`` go out in this order, after ``Host``."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    version: str = "HTTP/1.1"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one exchange may cost: seconds in all, seconds of silence once it has begun, bytes of the unpacked body.

    ``first_pieces`` ends the exchange after that many pieces of the body: how a client hangs up.
    """

    total_s: float = 60.0
    idle_s: float = 30.0
    connect_s: float = 10.0
    max_bytes: int = 4 * MIB
    first_pieces: int = 0


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The answer to one request, as bytes.

    ``status`` is None where no HTTP answer came. ``headers`` stand in the order and spelling of the server; ``body``
    is free of transfer and content codings. ``arrivals`` say when: (seconds since the request, bytes known by then).
    ``error`` is how it ended, where that was no clean end: ``refused``, ``unknown_host``, ``tls``,
    ``connect_timeout``, ``timeout`` (in all), ``idle`` (silence), ``cut`` (closed in the middle), ``too_large``,
    ``not_http``, ``coding`` (a body that does not unpack), ``network``; ``detail`` says more. ``faults`` are breaches
    of HTTP that did not end it. ``attempt`` counts from 1: those before were told to wait (429). ``left`` says
    that the probe itself hung up, ``reused`` that the connection had served before.
    """

    request: Request
    status: int | None = None
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    arrivals: tuple[tuple[float, int], ...] = ()
    took_s: float = 0.0
    error: str = ""
    detail: str = ""
    faults: tuple[str, ...] = ()
    attempt: int = 1
    left: bool = False
    reused: bool = False

    def header(self, name: str, default: str = "") -> str:
        """The first header of that name, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def has_header(self, name: str) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)

    @property
    def media_type(self) -> str:
        """``application/json`` of ``application/json; charset=utf-8``, in small letters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def first_byte_s(self) -> float | None:
        """Seconds until the first piece of the body."""
        return self.arrivals[0][0] if self.arrivals else None
