"""Endpoints that have a name, in the config files.

[profiles.work]
base_url = "https://llm.example.com/team/v1"
api_key_env = "WORK_LLM_KEY"            # or api_key_file, or api_key
model = "qwen3-coder"
headers = { "X-Team" = "search", "X-Tenant" = "${TENANT}" }
price_prompt = 0.15                      # for a million tokens
price_answer = 0.60
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from llmserve import paths, settings
from llmserve.endpoint.endpoint import Endpoint, Price
from llmserve.endpoint.headers import expand, header
from llmserve.endpoint.names import some
from llmserve.endpoint.url import normalise
from llmserve.errors import NeedsAccessError, UsageError

__all__ = ["load"]

_KEYS = (
    "base_url", "api_key", "api_key_env", "api_key_file", "model", "headers", "connect_timeout", "read_timeout",
    "price_prompt", "price_answer", "currency",
)  # fmt: skip

T = TypeVar("T")


def load(name: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that the profile ``name`` describes.

    Raises:
        UsageError: there is no such profile, or its table is wrong; the sentence names the file.
        NeedsAccessError: its key is where it cannot be read.
    """
    known = settings.profiles()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {some(list(known))}." if known else (
            f"Write [profiles.{name}] with base_url into {paths.config_file()}.")  # fmt: skip
        raise UsageError(f"There is no profile called {name!r}.", hint=hint, code="unknown_profile")
    path, table = known[name]
    return _Table(name, path, table, environ).endpoint()


class _Table:
    """The table of one profile, and where it stands, for the sentences."""

    def __init__(self, name: str, path: Path, table: dict[str, Any], environ: Mapping[str, str]) -> None:
        self._name, self._path, self._table, self._environ = name, path, table, environ
        for key in table:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1)
                raise self._wrong(f"{key!r} is unknown", f"Did you mean {near[0]!r}?" if near else
                                  f"Known: {', '.join(_KEYS)}.")  # fmt: skip

    def endpoint(self) -> Endpoint:
        address = self._get("base_url", str)
        if not address:
            raise self._wrong("base_url is missing", 'Write base_url = "http://HOST:PORT/v1".')
        key, origin = self._key()
        plain = Endpoint(base_url=normalise(self._expanded(address)))
        return Endpoint(
            base_url=plain.base_url,
            api_key=key,
            key_origin=origin,
            model=self._get("model", str),
            headers=self._headers(),
            connect_timeout=self._get("connect_timeout", _seconds) or plain.connect_timeout,
            read_timeout=self._get("read_timeout", _seconds) or plain.read_timeout,
            price=self._price(),
            notes=self._notes(plain.base_url),
        )

    def _key(self) -> tuple[str | None, str]:
        if key := self._get("api_key", str):
            return self._expanded(key), f"the profile {self._name}"
        if variable := self._get("api_key_env", str):
            return expand(f"${{{variable}}}", self._environ, where=f"the profile {self._name!r}"), variable
        if file := self._get("api_key_file", str):
            try:
                return Path(file).expanduser().read_text(encoding="utf-8").strip(), file
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "it is no text"
                raise NeedsAccessError(
                    f"The key of the profile {self._name!r} cannot be read: {why}.", hint=f"Check {file}."
                ) from error
        return None, ""

    def _headers(self) -> tuple[tuple[str, str], ...]:
        table = self._get("headers", dict) or {}
        if not all(isinstance(value, str) for value in table.values()):
            raise self._wrong("headers are texts", 'Write headers = { "X-Team" = "search" }.')
        return tuple(header(name, value, self._environ) for name, value in table.items())

    def _price(self) -> Price | None:
        prompt, answer = (self._get(f"price_{part}", _money) for part in ("prompt", "answer"))
        if prompt is None and answer is None:
            return None
        return Price(prompt=prompt or 0.0, answer=answer or 0.0, currency=self._get("currency", str) or "USD")

    def _notes(self, url: str) -> tuple[str, ...]:
        """A file that came with somebody's repository may name any address: say which."""
        own = self._path == paths.config_file()
        return () if own else (f"Using the profile {self._name} of {self._path}: {url}",)

    def _expanded(self, text: str) -> str:
        return expand(text, self._environ, where=f"the profile {self._name!r}")

    def _get(self, key: str, kind: Callable[[Any], T] | type[T]) -> T | None:
        value = self._table.get(key)
        if value is None:
            return None
        if isinstance(kind, type):
            if isinstance(value, kind):
                return cast("T", value)
            raise self._wrong(f"{key} is no {'table' if kind is dict else 'text'}", "See the README for an example.")
        try:
            return kind(value)
        except (TypeError, ValueError) as error:
            raise self._wrong(f"{key} is no number above zero", f"Write {key} = 10.") from error

    def _wrong(self, what: str, hint: str) -> UsageError:
        return UsageError(f"{self._path}: [profiles.{self._name}]: {what}.", hint=hint)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not float(value) > 0:
        raise ValueError(value)
    return float(value)


def _money(value: Any) -> float:
    if isinstance(value, bool) or not float(value) >= 0:
        raise ValueError(value)
    return float(value)
