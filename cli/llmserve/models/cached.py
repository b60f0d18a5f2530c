"""Whether a model could be served without a network."""

from __future__ import annotations

from llmserve.models import variants
from llmserve.models.hub import cache as hub_cache
from llmserve.models.model import Candidate, Format, Source


def is_cached(candidate: Candidate, format: Format | None = None) -> bool:  # noqa: A002 - the word of the field
    """Whether one format (None: any) is on this disk completely. Built-in and local models always are."""
    return any(_here(source) for source in candidate.sources if format in (None, source.format))


def _here(source: Source) -> bool:
    if source.repo is None:
        return True
    folder = hub_cache.snapshot(source.repo, source.revision)
    return folder is not None and variants.complete(source, folder, hub_cache.listing(source.repo, source.revision))
