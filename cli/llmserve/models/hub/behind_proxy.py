"""The small question of ``freshness`` where a proxy stands between: the standard library knows how to pass those."""

from __future__ import annotations

from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from llmserve import __version__


def commit(url: str, *, timeout: float) -> str | None:
    """The commit that the first answer names.

    Raises:
        OSError, ValueError: there is no answer.
    """
    request = Request(url, method="HEAD", headers={"User-Agent": f"llmserve/{__version__}"})  # noqa: S310
    try:
        with build_opener(_Stay).open(request, timeout=timeout) as response:
            found: str | None = response.headers.get("X-Repo-Commit")
            return found
    except HTTPError as error:
        with error:
            return error.headers.get("X-Repo-Commit") if 300 <= error.code < 400 else None
    except HTTPException as error:
        raise OSError(str(error)) from error


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        """A redirect is an answer here."""
