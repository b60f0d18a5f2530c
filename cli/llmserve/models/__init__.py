"""Models: from a name to what its headers say, and to its files on this disk.

``resolve`` asks no network, ``describe`` reads headers alone, ``fetch`` brings the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmserve.models.cached import is_cached
from llmserve.models.hub.fetch import fetch, hub_url, reachable
from llmserve.models.resolve import default_candidates, resolve

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub
    from llmserve.models.model import Candidate, Format, Model

__all__ = ["default_candidates", "describe", "fetch", "hub_url", "is_cached", "reachable", "resolve"]


def describe(
    candidate: Candidate,
    format: Format,  # noqa: A002 - the word of the field
    *,
    hub: Hub | None = None,
    planning: bool = False,
) -> Model:
    """See ``description.describe``: who only fetches does not wait for all that reads headers."""
    from llmserve.models import description

    return description.describe(candidate, format, hub=hub, planning=planning)
