"""One request on its way: what the loop stores while it runs, and the row that is made of it afterwards."""

from __future__ import annotations

from array import array
from itertools import repeat
from operator import sub, truediv

from llmserve.bench.decode import Decoder, InStreamError, Template
from llmserve.bench.http import Body, Chunked, Head, MalformedError, body_of, parse_head
from llmserve.bench.records import Request, Row
from llmserve.endpoint import error_body, wire

__all__ = ["Exchange"]

MAX_BODY = 256 * 1024**2
MAX_HEAD = 64 * 1024
_NO_TEXT = set(b'"\\\r\n')
_LAST_CHUNK = b"0\r\n\r\n"


# of a read that is one chunk with one event: all that stands before its text (the chunk's size included), where the
# text begins and ends, and all that follows it
Shape = tuple[bytes, int, int, bytes]


class Exchange:
    """All stamps are nanoseconds of the realtime clock, which is the kernel's for received packets.

    ``reads``, ``stamps`` are what came and has not been digested; ``plain`` are the stamps of reads before them that
    the reader saw to be tokens of a known shape. ``ended`` is set when the last byte of the answer was seen or a
    ``cause`` of failure stands.
    """

    __slots__ = (
        "body", "cause", "connect_ns", "decoder", "detail", "end_ns", "ended", "fd", "flowing", "head",
        "intended_ns", "jammed", "left", "plain", "queued", "reads", "request", "sent_ns", "shapes", "stage",
        "stamps", "tail", "unsent", "whole",
    )  # fmt: skip

    def __init__(self, request: Request, intended_ns: int, api: str, stage: int = 0) -> None:
        self.request = request
        self.stage = stage
        self.intended_ns = intended_ns
        self.sent_ns = 0
        self.connect_ns = 0
        self.end_ns = 0
        self.unsent = memoryview(request.payload)
        self.reads: list[bytes] = []
        self.stamps = array("q")
        self.flowing = False  # a chunked body is being read: only what may be its end needs a look
        self.head: Head | None = None
        self.body: Body | None = None
        self.left = 0
        self.whole = bytearray()
        self.fd = -1
        self.plain = array("q")
        self.shapes: dict[int, Shape] = {}
        self.tail = b""
        self.decoder = Decoder(api, keep_text=request.followup is not None)
        self.cause = ""
        self.detail = ""
        self.ended = False
        self.queued = False
        self.jammed = False

    def take(self, data: bytes, stamp: int) -> None:
        """Store a read. Interprets no more than is needed to see the end of the answer."""
        self.reads.append(data)
        self.stamps.append(stamp)
        head = self.head
        if head is None:
            self._begin(stamp)
        elif head.chunked:
            if data.endswith(b"\r\n\r\n") or len(data) < 8:
                self._maybe_last(data, stamp)
        elif head.length is not None:
            self.left -= len(data)
            if self.left <= 0:
                self._end(stamp)

    def _maybe_last(self, data: bytes, stamp: int) -> None:
        if data == _LAST_CHUNK or data.endswith(b"\r\n" + _LAST_CHUNK):
            self._end(stamp)  # the digest checks it
            return
        self.digest()
        if self.body and self.body.done and not self.ended:
            self._end(stamp)

    def _begin(self, stamp: int) -> None:
        raw = b"".join(self.reads)
        blank = raw.find(b"\r\n\r\n")
        if blank < 0:
            if len(raw) > MAX_HEAD:
                self.fail("malformed", "the head of the answer has no end", stamp)
            return
        try:
            head = parse_head(raw[:blank])
        except MalformedError as error:
            self.fail("malformed", str(error), stamp)
            return
        del self.reads[:], self.stamps[:]
        if 100 <= head.status < 200:  # an interim answer: the real one follows
            if len(raw) > blank + 4:
                self.take(raw[blank + 4 :], stamp)
            return
        self.head, self.body, self.flowing = head, body_of(head), head.chunked
        self.left = head.length if head.length is not None else 1
        if self.left == 0:
            self._end(stamp)
        elif len(raw) > blank + 4:
            self.take(raw[blank + 4 :], stamp)

    def _end(self, stamp: int) -> None:
        self.ended = True
        self.end_ns = stamp

    def fail(self, cause: str, detail: str, stamp: int) -> None:
        """The answer cannot become whole any more. The first cause stands."""
        if not self.cause:
            self.cause, self.detail = cause, detail
        if not self.ended:
            self._end(stamp)

    def closed(self, stamp: int, *, error: str = "") -> None:
        """The peer closed the connection, in order or (``error``) not."""
        if self.head and not self.head.chunked and self.head.length is None and not error:
            self._end(stamp)
            return
        self.fail("reset" if error else "truncated", error or "the connection was closed", stamp)

    def digest(self, most: int = 1 << 30) -> bool:
        """Interpret up to ``most`` stored reads; True if all of them are done."""
        if self.body is None and not self.ended:
            return True  # the head is not there yet
        if self.plain:
            self.decoder.plain_tokens(self.plain)
            del self.plain[:]
        reads, stamps = self.reads, self.stamps
        take = len(reads) if len(reads) <= most else most
        if self.body is not None and not self.jammed:
            try:
                self._interpret(reads, stamps, take)
            except InStreamError as error:
                self._jam("in_stream_error", str(error))
            except ValueError as error:  # MalformedError is one
                self._jam("malformed", str(error))
        del reads[:take], stamps[:take]  # in place: the reader appends to these very objects
        return not reads

    @property
    def predictable(self) -> bool:
        """Whether the next read may be taken for a token by its shape: all before it is interpreted to its end."""
        body = self.body
        return bool(
            self.shapes and not self.ended and not self.jammed and not self.reads and isinstance(body, Chunked)
            and body.between and self.decoder.between
        )  # fmt: skip

    def _interpret(self, reads: list[bytes], stamps: array[int], take: int) -> None:
        assert self.head is not None
        assert self.body is not None
        if self.head.status < 300 and "event-stream" in self.head.content_type:
            if isinstance(self.body, Chunked) and self.decoder.text is None:
                self._stream(reads, stamps, take, self.body)
                return
            for index in range(take):
                self._event(reads[index], stamps[index])
            return
        for index in range(take):
            self.whole += self.body.feed(reads[index])
            self.decoder.arrived(stamps[index])
            if len(self.whole) > MAX_BODY:
                raise MalformedError("the answer is too long")

    def _event(self, data: bytes, stamp: int) -> None:
        assert self.body is not None
        content = self.body.feed(data)
        if content:
            self.decoder.feed(content, stamp)

    def _stream(self, reads: list[bytes], stamps: array[int], take: int, body: Chunked) -> None:
        """Most reads are one chunk with one event, and differ in its text alone."""
        decoder, at = self.decoder, 0
        while at < take:
            if decoder.template and body.between and decoder.between:
                alike = self._alike(reads, at, take)
                decoder.plain_tokens(stamps[at : at + alike])
                at += alike
                if at == take:
                    return
            self._other(reads[at], stamps[at], body)
            at += 1

    def _alike(self, reads: list[bytes], start: int, end: int) -> int:
        """How many reads from ``start`` on are one chunk with one event of the known shape."""
        for index in range(start, end):
            data = reads[index]
            shape = self.shapes.get(len(data)) or self._shape(len(data))
            if shape is None:
                return index - start
            before, text, after, tail = shape
            if (
                data.find(b'"', text) != after
                or not data.startswith(before)
                or not data.endswith(tail)
                or data.find(b"\\", text, after) >= 0
            ):
                return index - start
        return end - start

    def _shape(self, size: int) -> Shape | None:
        """What a read of ``size`` bytes looks like if it is one chunk with one event of the template."""
        template = self.decoder.template
        if template is None:
            return None
        digits = next((n for n in range(1, 7) if len(b"%x" % max(0, size - 4 - n)) == n), 0)
        before = b"%x\r\n" % (size - 4 - digits) + template.before
        after = size - len(self.tail)
        if after <= len(before):
            return None
        shape = self.shapes[size] = before, len(before), after, self.tail
        return shape

    def _other(self, data: bytes, stamp: int, body: Chunked) -> None:
        """A read that has to be parsed; what it is like is remembered."""
        decoder = self.decoder
        known, was = decoder.template, body.between and decoder.between
        self._event(data, stamp)
        if decoder.template is not known:
            self.shapes.clear()
            self.tail = decoder.template.after + b"\n\n\r\n" if decoder.template else b""
        if was and body.between and decoder.between and decoder.template:
            self._learn(data, decoder.template)

    def _learn(self, data: bytes, template: Template) -> None:
        """Remember the shape of a read that was found to be one chunk with one event."""
        line = data.find(b"\r\n") + 2
        start = data[:line] + template.before
        text = data[len(start) : -len(self.tail)]
        if data.startswith(start) and data.endswith(self.tail) and text and not set(text) & _NO_TEXT:
            self.shapes[len(data)] = start, len(start), len(data) - len(self.tail), self.tail

    def _jam(self, cause: str, detail: str) -> None:
        """What follows cannot be interpreted; the bytes are taken until the answer's end all the same."""
        self.jammed = True
        if not self.cause:
            self.cause, self.detail = cause, detail

    def row(self, base_ns: int) -> Row:
        """The row of an exchange that has ended and was digested; ``base_ns`` is the start of the run."""
        self._judge()
        decoder, request = self.decoder, self.request
        times, usage = decoder.times, decoder.usage
        gaps = array("f", map(truediv, map(sub, times[1:], times), repeat(1e6)))
        ok = not self.cause
        counted = ok and usage is not None and usage.completion is not None
        output = usage.completion if counted and usage and usage.completion is not None else len(times)

        def seconds(stamp: int | None) -> float | None:
            return None if not stamp else (stamp - base_ns) / 1e9

        return Row(
            index=0, stage=self.stage, session=request.session, turn=request.turn, measured=request.measured,
            cause=self.cause, status=self.head.status if self.head else None,
            intended_s=(self.intended_ns - base_ns) / 1e9, sent_s=seconds(self.sent_ns),
            first_s=seconds(times[0] if times else None), answer_s=seconds(decoder.answer_ns),
            last_s=seconds(times[-1] if times else None), end_s=(self.end_ns - base_ns) / 1e9,
            connect_ms=self.connect_ns / 1e6 if self.connect_ns else None,
            first_kind=decoder.first_kind, asked_input=request.input_tokens, asked_output=request.output_tokens,
            input_tokens=usage.prompt if ok and usage else None, output_tokens=output,
            cached_tokens=usage.cached if ok and usage else None,
            reasoning_tokens=usage.reasoning if ok and usage else None, counted=counted, gaps_ms=gaps,
            chunk_tokens=_spread(decoder.tokens, output),
        )  # fmt: skip

    @property
    def text(self) -> str:
        return "".join(self.decoder.text or ())

    def _judge(self) -> None:
        """Whether what looked like an end is one, and of a good answer."""
        decoder, head = self.decoder, self.head
        if head and head.status >= 300:
            self.cause = "status"
            self.detail = error_body.parse(bytes(self.whole[:16384])).message or f"HTTP {head.status}"
            return
        if self.cause or head is None:
            return
        if self.body and not self.body.done and (head.chunked or head.length is not None):
            self._jam("malformed", "the answer goes on after its end")
            return
        try:
            if "event-stream" in head.content_type:
                decoder.finish()
            else:
                decoder.whole(wire.load(bytes(self.whole)), decoder.stamp)
        except InStreamError as error:
            self._jam("in_stream_error", str(error))
        except ValueError as error:
            self._jam("malformed", str(error))
        if not self.cause and not decoder.finish_reason:
            self._jam("missing_finish", "no finish_reason came")
        elif not self.cause and not decoder.times and not (decoder.usage and decoder.usage.completion is not None):
            self._jam("empty", "no token came")


def _spread(tokens: array[float], total: int) -> array[float]:
    """Tokens per chunk: as the running usage said, else the answer's tokens in equal parts over its chunks."""
    chunks = len(tokens)
    if not chunks or sum(tokens) == total:
        return tokens
    return array("f", [total / chunks]) * chunks
