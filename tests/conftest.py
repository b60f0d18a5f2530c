"""What holds for every test: property tests know no deadline, since machines are noisy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("llmserve", deadline=None)
settings.load_profile("llmserve")
