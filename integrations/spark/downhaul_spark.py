"""Downloads files with the executors of Spark.

    import downhaul_spark
    rows = downhaul_spark.download(table, "url", to="/shared/data")
    rows.write.parquet("/shared/rows")

Every executor must see the folder, and needs the packages downhaul and pandas, and this module
(`--py-files`). Spark runs a task again if its executor is lost, and runs a copy of a slow task if
speculation is on. Such a task skips the files that are complete, and waits for a file that another
task is downloading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import downhaul

if TYPE_CHECKING:
    import pandas
    from pyspark.sql import DataFrame

# The columns of the result, which docs/python.md explains.
COLUMNS = {
    "url": "string",
    "final_url": "string",
    "status": "string",
    "path": "string",
    "bytes": "bigint",
    "verified": "string",
    "digests": "map<string, string>",
    "reason": "string",
    "warnings": "array<string>",
    "error_code": "string",
    "error_message": "string",
    "fetched": "bigint",
    "seconds": "double",
    "retries": "bigint",
}

# The number of rows that Spark gets at once.
ROWS_AT_ONCE = 1000


def download(
    df: DataFrame,
    url: str = "url",
    *,
    to: str,
    columns: Mapping[str, str] | None = None,
    **options: Any,
) -> DataFrame:
    """Returns a table with a row for each URL of the given table. Spark downloads the files when it
    computes the rows of the result.

    `columns` states the meaning of other columns, such as ``{"sha256": "digest"}``. The options are
    those of `downhaul.download`. Each partition of the table is one download, so
    `df.repartition(N)` divides the work.

    If the download of a file fails, no exception is raised: the row of the file has the error. The
    task fails if an option cannot be used, or if the disk cannot be written.
    """
    names = {**(columns or {}), "url": url}
    unknown = sorted(set(names.values()) - set(df.columns))
    if unknown:
        raise ValueError(f"the table has no column {unknown[0]!r}")

    def fetch(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        return download_partition(frames, to, names, options)

    return df.mapInPandas(fetch, ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items()))


def download_partition(
    frames: Iterator[pandas.DataFrame], to: str, columns: Mapping[str, str], options: Mapping[str, Any]
) -> Iterator[pandas.DataFrame]:
    """Downloads the files of one partition, on an executor."""
    import pandas

    first = next(frames, None)
    if first is None:
        return
    # Another task may be downloading the same files: a copy of this task, or a task whose executor
    # was lost.
    options = {"if_locked": "wait", "progress": False, **options}
    with downhaul.download(Partition(first, frames), to=to, columns=columns, **options) as files:
        rows = map(row, files)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            # Columns of the type `object` keep whole numbers, even if other rows have no number.
            yield pandas.DataFrame(batch, columns=list(COLUMNS), dtype=object)


def row(file: downhaul.File) -> dict[str, Any]:
    """Returns the row of a file. Raises the error of the file if the disk cannot be written,
    because other files would fail too."""
    if file.error is not None and file.error.code.startswith("disk."):
        raise file.error
    return file.to_dict()


class Partition:
    """Presents the frames of a partition as one table, which downhaul.download reads like a frame
    of pandas."""

    def __init__(self, first: pandas.DataFrame, others: Iterator[pandas.DataFrame]) -> None:
        self.columns = first.columns
        self._frames = chain([first], others)

    def itertuples(self, index: bool = True, name: str | None = None) -> Iterator[tuple[Any, ...]]:
        for frame in self._frames:
            yield from frame.itertuples(index=index, name=name)
