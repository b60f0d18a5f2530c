"""What an engine tells about itself at ``/metrics``: fetched, parsed, and put into names common to all engines.

with Source(endpoint) as source:
    before = source.sample()
    ...
    window = source.sample().since(before)
    window.generation_rate, window.histogram("ttft")
"""

from __future__ import annotations

import time
from typing import Self
from urllib.parse import urlsplit

from llmserve.endpoint.client import Client
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.metrics.histogram import Histogram
from llmserve.endpoint.metrics.reading import UnknownMetricsError, read
from llmserve.endpoint.metrics.sample import Sample, Window
from llmserve.errors import LlmserveError, NeedsAccessError

__all__ = ["Histogram", "Sample", "Source", "Window", "read"]

_ON = "SGLang needs --enable-metrics, llama-server --metrics; vLLM has them always."


class Source:
    """The metrics of one endpoint; a context manager, its connection kept."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.url = ""
        self._client = Client(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def sample(self) -> Sample:
        """A reading now.

        Raises:
            LlmserveError: ``no_metrics`` where there is no such page or no known engine wrote it, ``unauthorized``, or
                what :mod:`llmserve.endpoint.unreachable` lists.
        """
        text = self._client.text(self.url) if self.url else self._find()
        at = time.monotonic()
        try:
            return read(text, at)
        except UnknownMetricsError as error:
            raise self._nothing(f"{self.url} has {error}.") from error
        except ValueError as error:
            raise self._nothing(f"{self.url} is no page of metrics: {error}.") from error

    def _find(self) -> str:
        """The page lies beside ``/v1``, or at the root of the host where a proxy adds a path for the API alone."""
        for url in candidates(self.endpoint.base_url):
            try:
                text = self._client.text(url)
            except NeedsAccessError:
                raise
            except LlmserveError as error:
                if not 400 <= error.data.get("status", 0) < 500 and error.code != "redirect":
                    raise
            else:
                self.url = url
                return text
        raise self._nothing(f"{self.endpoint.base_url} has no page of metrics.")

    def _nothing(self, message: str) -> LlmserveError:
        return LlmserveError(message, hint=_ON, code="no_metrics")


def candidates(base_url: str) -> list[str]:
    """Where an API's metrics may be, the likeliest first; ``base_url`` may be the page itself."""
    if base_url.endswith("/metrics"):
        return [base_url]
    parts = urlsplit(base_url)
    beside = base_url.removesuffix("/v1") + "/metrics"
    return list(dict.fromkeys([beside, f"{parts.scheme}://{parts.netloc}/metrics"]))
