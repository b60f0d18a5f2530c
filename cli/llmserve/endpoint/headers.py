"""Headers of the user's own: for gateways, tenants, tracing, and servers that take their key elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from llmserve.errors import UsageError

__all__ = ["expand", "header", "headers"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "content-type"))


def headers(lines: Iterable[str], environ: Mapping[str, str] = os.environ) -> tuple[tuple[str, str], ...]:
    """``Name: value`` lines as pairs.

    Raises:
        UsageError: a line is no header, names a variable that is not set, or a header that the request itself needs.
    """
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"{name!r} is no header.", hint='Write it as in curl: --header "X-Team: search".')
        pairs.append(header(name, value, environ))
    return tuple(pairs)


def header(name: str, value: str, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """One header, checked; ``${VARIABLE}`` in its value is replaced: no key has to stand in a file or in argv."""
    name, value = name.strip(), expand(value.strip(), environ, where=f"the header {name.strip()!r}")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a header.", hint='Write it as in curl: --header "X-Team: search".')
    if name.lower() in _OURS:
        raise UsageError(f"The header {name!r} belongs to the request itself.", hint="Leave it out.")
    if not value.isascii() or not value.replace("\t", " ").isprintable():
        raise UsageError(f"The header {name!r} holds characters that no header has.", hint="Use printable ASCII.")
    return name, value


def expand(text: str, environ: Mapping[str, str], *, where: str) -> str:
    """``text`` with every ``${VARIABLE}`` replaced.

    Raises:
        UsageError: a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        if not environ.get(found[1]):
            raise UsageError(f"{where[0].upper()}{where[1:]} needs the variable {found[1]}, which is not set.",
                             hint=f"export {found[1]}=...")  # fmt: skip
        return environ[found[1]]

    return _VARIABLE.sub(value, text)
