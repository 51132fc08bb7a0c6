"""Finds the shard of a task of Spark or Ray.

Invariant: this module imports neither Spark nor Ray. The process of a task has loaded one of them already.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class _Task(NamedTuple):
    number: int
    """The number of the task, from 1."""
    of: int | None
    """The number of tasks. None if the engine does not state it."""


def task_shard(of: int | None = None) -> str:
    """Returns the shard of this task as the option ``--shard`` of the program takes it, such as ``"3/8"``.

    `of` is the number of all tasks. In a task of Spark, the first number of the shard is the number of the
    partition plus 1. Spark states how many partitions there are only in barrier mode, so otherwise `of` is
    needed. In a worker of Ray Train, the first number is the rank plus 1. Elsewhere the shard is ``"auto"``,
    with which the program finds the numbers that Slurm, Kubernetes and others put into the environment.

    Raises ValueError if the number of all tasks is not known, or if it cannot be `of`.
    """
    task = _spark() or _ray_train()
    if task is None:
        return "auto" if of is None else f"auto/{of}"
    all_tasks = task.of if of is None else of
    if all_tasks is None:
        raise ValueError("Spark does not state the number of partitions: state it, as in task_shard(8)")
    if task.of not in (None, all_tasks) or task.number > all_tasks:
        known = f"one of {task.of} tasks" if task.of else f"task {task.number}"
        raise ValueError(f"this process runs {known}, so the number of tasks cannot be {all_tasks}")
    return f"{task.number}/{all_tasks}"


def _spark() -> _Task | None:
    """Returns the task of Spark that this process runs."""
    pyspark = sys.modules.get("pyspark")
    context = None if pyspark is None else pyspark.TaskContext.get()
    if context is None:
        return None
    # Only the context of barrier mode states the tasks of the stage.
    infos = getattr(context, "getTaskInfos", None)
    return _Task(context.partitionId() + 1, None if infos is None else len(infos()))


def _ray_train() -> _Task | None:
    """Returns the worker of Ray Train that this process is."""
    train = sys.modules.get("ray.train")
    if train is None:
        return None
    try:
        context = train.get_context()
        return _Task(context.get_world_rank() + 1, context.get_world_size())
    except RuntimeError:
        # Ray Train is loaded, but this process is not one of its workers.
        return None
