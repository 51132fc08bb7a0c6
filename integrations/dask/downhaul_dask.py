"""Downloads files with the workers of Dask.

    import downhaul_dask
    for row in downhaul_dask.download(client, items, to="/shared/data"):
        print(row["url"], row["status"], row["path"])

Every worker must see the folder. If a worker is lost, Dask runs its tasks again on another worker.
The files that are complete are then skipped, and the other downloads are continued. So each item
has one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import downhaul

if TYPE_CHECKING:
    from distributed import Client

# The number of files of a task. Each task costs the scheduler about a millisecond, so a task has
# several files. It does not have more, because a lost task is run again as a whole.
FILES_OF_A_TASK = 64

# The number of tasks that are submitted at once for each thread of the workers. The number is limited, so
# that an endless input needs little memory.
TASKS_AHEAD = 4


def download(
    client: Client,
    items: Iterable[str | Mapping[str, Any]],
    to: str,
    *,
    files_of_a_task: int = FILES_OF_A_TASK,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Downloads items as downhaul.download does. Yields a dictionary for each item when its task has ended.

    ``number`` in each dictionary is the number of the item in the input, from 1. If the download of a
    file fails, no exception is raised: the dictionary of the file has the error. An option that cannot
    be used raises an error at the first row.
    """
    from distributed import as_completed

    given = enumerate(items, 1)
    ahead = max(1, TASKS_AHEAD * sum(client.nthreads().values()))

    def tasks() -> Iterator[Any]:
        while batch := list(islice(given, files_of_a_task)):
            yield client.submit(fetch, batch, to, options, pure=False)

    rest = tasks()
    running = as_completed(islice(rest, ahead))
    for task in running:
        rows = task.result()
        for new in islice(rest, 1):
            running.add(new)
        yield from rows


def fetch(batch: list[tuple[int, str | Mapping[str, Any]]], to: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Downloads the items of one task, on a worker."""
    # Another copy of this task may still run on a worker to which the scheduler has lost the
    # connection.
    options = {"if_locked": "wait", "progress": False, **options}
    rows = []
    for file in downhaul.download([item for _, item in batch], to=to, **options):
        row = file.to_dict()
        row["number"] = batch[file.number - 1][0]
        rows.append(row)
    return rows
