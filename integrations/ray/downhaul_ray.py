"""Downloads files with the nodes of Ray, for Ray Data or as plain tasks.

    import downhaul_ray
    rows = downhaul_ray.download(dataset, "url", to="/shared/data", actors=8)
    for row in downhaul_ray.download_items(urls, to="/shared/data"):
        print(row["url"], row["status"], row["path"])

Every node must see the folder, and needs the package downhaul and this module (`runtime_env`). Ray
runs a task again, without a limit, if its actor or its node is lost. The files that are complete
are then skipped, and the other downloads are continued. So each item has one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import downhaul

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

# The number of files of a batch or a task. A lost batch is run again as a whole, and an actor waits
# for the last file of a batch before it begins the next batch.
FILES_AT_ONCE = 256

# The number of plain tasks that are submitted at once for each processor. The number is limited, so that an
# endless input needs little memory.
TASKS_AHEAD = 4


def download(
    dataset: Dataset,
    url: str = "url",
    *,
    to: str,
    columns: Mapping[str, str] | None = None,
    actors: int = 2,
    files_at_once: int = FILES_AT_ONCE,
    **options: Any,
) -> Dataset:
    """Returns a dataset with a row for each URL of the given dataset. Ray downloads the files when
    it computes the rows of the result.

    `columns` states the meaning of other columns, such as ``{"sha256": "digest"}``. The options are
    those of `downhaul.download`. Each of the actors needs one processor.

    If the download of a file fails, no exception is raised: the row of the file has the error. The
    dataset fails if an option cannot be used, or if the disk cannot be written.
    """
    import ray.data

    return dataset.map_batches(
        Fetch,
        fn_constructor_kwargs={"to": to, "columns": {**(columns or {}), "url": url}, **options},
        batch_format="pyarrow",
        batch_size=files_at_once,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )


class Fetch:
    """Downloads batches of files in an actor, for `Dataset.map_batches` with the batch format "pyarrow"."""

    def __init__(self, to: str, columns: Mapping[str, str] | None = None, **options: Any) -> None:
        self._to, self._columns, self._options = to, columns, options

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        rows = fetch(batch, self._to, {"columns": self._columns, **self._options})
        for row in rows:
            row["digests"] = list(row["digests"].items())
            # The number is removed, because it would be the number of the item in its batch.
            del row["number"]
        return pyarrow.Table.from_pylist(rows, schema())


def download_items(
    items: Iterable[str | Mapping[str, Any]], *, to: str, files_of_a_task: int = FILES_AT_ONCE, **options: Any
) -> Iterator[dict[str, Any]]:
    """Downloads items as downhaul.download does. Yields a dictionary for each item when its task has ended.

    `number` in each dictionary is the number of the item in the input, from 1. Errors
    are handled as in `download`.
    """
    import ray

    task = ray.remote(fetch).options(max_retries=-1)
    given = iter(items)
    # For each running task, the number of items before its first item.
    running: dict[Any, int] = {}
    ahead = max(1, TASKS_AHEAD * int(ray.cluster_resources().get("CPU", 1)))
    added = 0
    while True:
        while len(running) < ahead and (batch := list(islice(given, files_of_a_task))):
            running[task.remote(batch, to, options)] = added
            added += len(batch)
        if not running:
            return
        [ended], _ = ray.wait(list(running))
        before = running.pop(ended)
        for row in ray.get(ended):
            row["number"] += before
            yield row


def fetch(items: Any, to: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Downloads items, and returns their rows. Raises an error if the disk cannot be written,
    because the other files would fail too."""
    # A task on a node to which Ray has lost the connection may still be downloading the same files.
    options = {"if_locked": "wait", "progress": False, **options}
    rows = []
    with downhaul.download(items, to=to, **options) as files:
        for file in files:
            if file.error is not None and file.error.code.startswith("disk."):
                raise file.error
            rows.append(file.to_dict())
    return rows


def schema() -> pyarrow.Schema:
    """Returns the columns of the result, which docs/python.md explains."""
    import pyarrow

    text, number = pyarrow.string(), pyarrow.int64()
    columns = dict.fromkeys(("url", "final_url", "status", "path", "verified", "reason", "error_code", "error_message"), text)
    columns |= dict.fromkeys(("bytes", "fetched", "retries"), number)
    columns |= {"digests": pyarrow.map_(text, text), "warnings": pyarrow.list_(text), "seconds": pyarrow.float64()}
    return pyarrow.schema(columns)
