"""Files that are no YAML, from ``templates/deploy``."""

from __future__ import annotations

from typing import Any

from llmserve import paths


def render(template: str, **values: Any) -> str:
    """The ``template`` with ``values``; a value that it names and nobody gives is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # nothing here is HTML, and what goes into a shell is quoted by those who give it
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(paths.templates_dir() / "deploy"), undefined=StrictUndefined,
        keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(values)
