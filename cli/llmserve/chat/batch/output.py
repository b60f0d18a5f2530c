"""The answers on disk or on stdout, and where an interrupted batch goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from llmserve.errors import LlmserveError, UsageError

__all__ = ["done", "line"]


def line(id_: str, response: dict[str, Any] | None, error: LlmserveError | None) -> str:
    """One answer, in the shape of OpenAI's batch output."""
    body = {
        "custom_id": id_,
        "response": None if response is None else {"status_code": 200, "body": response},
        "error": error.as_dict() if error else None,
    }
    return json.dumps(body, ensure_ascii=True) + "\n"


def done(path: Path) -> tuple[TextIO, list[str]]:
    """The file, open at its end, and the ids of the answers that it holds; half a line at its end is cut off.

    Raises:
        UsageError: the file holds something else.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    file.seek(0)
    ids, end = [], 0
    with path.open("rb") as raw:
        for text in raw:
            if not text.endswith(b"\n"):
                break
            try:
                ids.append(str(json.loads(text)["custom_id"]))
            except (ValueError, KeyError, TypeError) as error:
                file.close()
                raise UsageError(
                    f"{path} holds something else than answers.", hint="Name another file with -o."
                ) from error
            end += len(text)
    file.truncate(end)
    file.seek(end)
    return file, ids
