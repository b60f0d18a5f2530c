"""The files a run is written to: rows, figures, pages. What cannot be written is said before the run, not after."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserve.bench import published
from llmserve.bench.table import Table
from llmserve.errors import UsageError

__all__ = ["Files", "write_rows"]

BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where to write what; None: nowhere. ``rows`` ending in ``.parquet`` is written as that."""

    rows: Path | None = None
    save: Path | None = None
    csv: Path | None = None
    md: Path | None = None
    html: Path | None = None

    def check(self) -> None:
        """Whether all can be written.

        Raises:
            UsageError: a folder is missing or may not be written to, or Parquet is asked for without pyarrow.
        """
        for option in self.__dataclass_fields__:
            path: Path | None = getattr(self, option)
            if path and (path.is_dir() or not path.parent.is_dir()):
                what = "is a folder" if path.is_dir() else f"cannot be written: {path.parent} is no folder"
                raise UsageError(f"--{option}: {path} {what}.", hint="Name a file in a folder that exists.")
        if self.rows and self.rows.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise UsageError(
                "Parquet needs pyarrow, which is not installed.",
                hint="Install it (pip install pyarrow), or write JSON lines: --rows rows.jsonl",
            )

    def write(self, data: dict[str, Any]) -> list[str]:
        """Write ``data`` (of one run) to all but ``rows``; the sentences that say where."""
        from llmserve.bench.compare import entry

        found = [entry(data, self.save.stem if self.save else "")]
        return self.write_entries(found, data)

    def write_entries(self, entries: list[Any], data: dict[str, Any]) -> list[str]:
        """The same for runs side by side."""
        from llmserve.bench import report

        texts: dict[str, Callable[[], str]] = {
            "save": lambda: json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n",
            "csv": lambda: report.csv_text(entries), "md": lambda: report.markdown(entries),
            "html": lambda: report.page(entries),
        }  # fmt: skip
        said = []
        for option, text in texts.items():
            path: Path | None = getattr(self, option)
            if path:
                _written(path, text())
                said.append(f"Written: {path}")
        return said


def _written(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint="Name another file.") from error


def write_rows(table: Table, path: Path) -> None:
    """A line of JSON for each request, or a Parquet file of the same fields."""
    if path.suffix == ".parquet":
        _parquet(table, path)
        return
    with path.open("w", encoding="utf-8") as file:
        for row in table:
            file.write(json.dumps(published.row_data(row), separators=(",", ":")) + "\n")


def _parquet(table: Table, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    writer, kind = None, None
    for batch in _batches(table):
        if writer is None:
            kind = _kinds(pyarrow)
            writer = pyarrow.parquet.ParquetWriter(path, kind)
        writer.write_table(pyarrow.Table.from_pylist(batch, schema=kind))
    if writer:
        writer.close()


def _batches(table: Table) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in table:
        batch.append(published.row_data(row))
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _kinds(pyarrow: Any) -> Any:
    """The types of all columns: a batch without a value cannot tell them."""
    times = ("intended_s", "sent_s", "first_s", "answer_s", "last_s", "end_s", "connect_ms", "queue_ms", "ttft_ms",
             "e2e_ms", "tpot_ms")  # fmt: skip
    counts = ("index", "stage", "session", "turn", "status", "asked_input", "asked_output", "input_tokens",
              "output_tokens", "cached_tokens", "reasoning_tokens")  # fmt: skip
    fields = [
        *((name, pyarrow.int64()) for name in counts), *((name, pyarrow.float64()) for name in times),
        *((name, pyarrow.bool_()) for name in ("measured", "counted", "ok")),
        *((name, pyarrow.string()) for name in ("cause", "first_kind")),
        *((name, pyarrow.list_(pyarrow.float32())) for name in ("gaps_ms", "chunk_tokens")),
    ]  # fmt: skip
    return pyarrow.schema(fields)
