"""A server that answers as OpenAI does, and, when asked to, in one point differently.

    with FakeOpenAI() as server:                       # exactly like OpenAI
        probe(server.url, key=server.key)
        server.deviation = deviations.named("usage-missing")
        probe(...)                                     # one thing is wrong now

The language model behind it is a hash: it has never learned anything, but it is *consistent*. Its tokens, logprobs,
usage, stops and seeds obey the same arithmetic as a real model's, so whatever does not need a competent model can be
proved with it.
"""

from tests.fakes.openai.server import FakeOpenAI

__all__ = ["FakeOpenAI"]
