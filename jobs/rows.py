"""Reads and writes the rows of a bulk job as CSV or Parquet. Parts are merged at the end."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.answers.rows import TYPES, Row, csv_writer

_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "int32": int,
    "float64": float,
    "bool": lambda text: text == "True",
    "string": str,
}


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write a part, completely or not at all."""
    with _whole(path) as unfinished:
        if path.suffix == ".parquet":
            import pyarrow.parquet  # noqa: PLC0415

            table = pyarrow.Table.from_pylist(list(rows), schema=_schema())
            pyarrow.parquet.write_table(table, unfinished, compression="zstd")
        else:
            with unfinished.open("w", newline="", encoding="utf-8") as stream:
                csv_writer(stream).writerows(rows)


def merge(parts: Sequence[Path], path: Path) -> None:
    """Merge parts into a file, completely or not at all. One part is in memory at a time."""
    with _whole(path) as unfinished:
        if path.suffix == ".parquet":
            import pyarrow.parquet  # noqa: PLC0415

            with pyarrow.parquet.ParquetWriter(unfinished, _schema(), compression="zstd") as writer:
                for part in parts:
                    writer.write_table(pyarrow.parquet.read_table(part, schema=_schema()))
        else:
            with unfinished.open("w", newline="", encoding="utf-8") as stream:
                for number, part in enumerate(parts):
                    with part.open(newline="", encoding="utf-8") as lines:
                        if number:
                            next(lines)
                        stream.writelines(lines)


def read(path: Path) -> Iterator[Row]:
    """Read the rows of a file, a few at a time; absent values are None."""
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: PLC0415

        with pyarrow.parquet.ParquetFile(path) as source:
            for batch in source.iter_batches():
                yield from batch.to_pylist()
        return
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            yield {name: _FROM_TEXT[TYPES[name]](text) if text else None for name, text in row.items()}


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` at the end."""
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    yield unfinished
    unfinished.replace(path)


def _schema() -> Any:
    import pyarrow  # noqa: PLC0415

    types = {
        "string": pyarrow.string(),
        "int32": pyarrow.int32(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
    }
    return pyarrow.schema([(name, types[kind]) for name, kind in TYPES.items()])
