"""Models: from a name to what its headers say, and to its files on this disk.

``resolve`` asks no network, ``describe`` reads headers alone, ``fetch`` brings the weights.
"""

from __future__ import annotations

from llmserve.models.cached import is_cached
from llmserve.models.describe import describe
from llmserve.models.hub.fetch import fetch, hub_url, reachable
from llmserve.models.resolve import default_candidates, resolve

__all__ = ["default_candidates", "describe", "fetch", "hub_url", "is_cached", "reachable", "resolve"]
