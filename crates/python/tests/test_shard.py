"""Tests that the shard of a task is found. The engines are not installed here, so modules with their names
replace them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import downhaul


def load(monkeypatch: pytest.MonkeyPatch, name: str, **names: Any) -> None:
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**names))


def spark(monkeypatch: pytest.MonkeyPatch, context: object) -> None:
    load(monkeypatch, "pyspark", TaskContext=SimpleNamespace(get=lambda: context))


def test_without_an_engine_the_program_looks_at_the_environment() -> None:
    assert downhaul.task_shard() == "auto"
    assert downhaul.task_shard(8) == "auto/8"


def test_a_task_of_spark_has_the_number_of_its_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    spark(monkeypatch, SimpleNamespace(partitionId=lambda: 2))
    assert downhaul.task_shard(8) == "3/8"
    with pytest.raises(ValueError, match="state it"):
        downhaul.task_shard()
    with pytest.raises(ValueError, match="task 3, so the number of tasks cannot be 2"):
        downhaul.task_shard(2)


def test_barrier_mode_of_spark_states_the_number_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    spark(monkeypatch, SimpleNamespace(partitionId=lambda: 0, getTaskInfos=lambda: [1, 2, 3]))
    assert downhaul.task_shard() == downhaul.task_shard(3) == "1/3"
    with pytest.raises(ValueError, match="one of 3 tasks, so the number of tasks cannot be 4"):
        downhaul.task_shard(4)


def test_the_driver_of_spark_is_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    spark(monkeypatch, None)
    assert downhaul.task_shard() == "auto"


def test_a_worker_of_ray_train_has_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(get_world_rank=lambda: 1, get_world_size=lambda: 4)
    load(monkeypatch, "ray.train", get_context=lambda: context)
    assert downhaul.task_shard() == "2/4"


def test_a_process_that_is_no_worker_of_ray_train_has_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_context() -> None:
        raise RuntimeError("this is no worker")

    load(monkeypatch, "ray.train", get_context=get_context)
    assert downhaul.task_shard(4) == "auto/4"
