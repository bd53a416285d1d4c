"""Executors: every unit done once, wherever; lost workers, failing units, and no process left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster
from refusals import refuses
from toy_units import ToyRun, dies_at_once, make_caller, make_worker, unit
from worker_processes import workers

from inversescope.cluster import Executor, Here, Pooled, address
from inversescope.cluster.address import STORE, local_cluster
from inversescope.cluster.nodes import Node, compare, nodes_of_cluster
from inversescope.cluster.processes import Processes
from inversescope.cluster.ray_workers import RayPool
from inversescope.cluster.rounds import Rounds
from inversescope.cluster.units import check, do
from inversescope.errors import UserError

RAY = pytest.param("ray", marks=pytest.mark.slow)


@pytest.fixture(params=["here", "processes", RAY])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "here":
        yield Here()
    else:
        yield from _pooled(request)


@pytest.fixture(params=["processes", RAY])
def pooled(request: pytest.FixtureRequest) -> Iterator[Pooled]:
    yield from _pooled(request)


def _pooled(request: pytest.FixtureRequest) -> Iterator[Pooled]:
    if request.param == "ray":
        request.getfixturevalue("nodes")
        with closing(Pooled(RayPool(2, 1, 0, ToyRun))) as pooled:
            yield pooled
        return
    with closing(Pooled(Processes(2, 1, ToyRun))) as pooled:
        yield pooled
    psutil.wait_procs(workers(), timeout=10)
    assert workers() == []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".attempts")


def attempts(folder: Path, name: int) -> int:
    return len((folder / f"unit-{name:03d}.txt.attempts").read_text().split())


def test_every_unit_is_done_once(executor: Executor, tmp_path: Path):
    units = [unit(i) for i in range(12)]
    shown: list[tuple[int, int]] = []
    done = list(executor.map(units, make_worker, ToyRun(tmp_path), lambda at, of, _="": shown.append((at, of))))
    assert sorted(record.file.name for record in done) == [each.file for each in units]
    assert names(tmp_path) == [each.file for each in units]
    assert all(attempts(tmp_path, i) == 1 for i in range(12))
    assert isinstance(executor, Here) or shown[-1] == (12, 12)


def test_nothing_to_do(executor: Executor, tmp_path: Path):
    assert list(executor.map([], dies_at_once, ToyRun(tmp_path))) == []


def test_workers_stay_for_the_next_step_and_a_lost_one_is_replaced(pooled: Pooled, tmp_path: Path):
    units = [unit(i, seconds=0.3) for i in range(8)]
    run = ToyRun(tmp_path)
    first = {record.worker for record in pooled.map(units[:4], make_worker, run)}
    second = {record.worker for record in pooled.map(units[4:6], make_worker, run)}
    assert len(first | second) <= 2  # one that started late may have had no unit of the first
    process = psutil.Process(int(first.pop().rpartition(":")[2]))
    process.kill()
    process.wait(30)
    assert len(list(pooled.map(units[6:], make_worker, run))) == 2
    assert len(pooled.pool.free) <= 2
    pooled.close()
    assert not pooled.pool.free


def test_a_users_error_ends_the_step_and_says_the_same(executor: Executor, tmp_path: Path):
    units = [unit(0), unit(1, what="refuse", times=9), unit(2)]
    with pytest.raises(UserError) as refused:
        list(executor.map(units, make_worker, ToyRun(tmp_path)))
    assert (refused.value.given, refused.value.remedy) == ("unit-001.txt", "nothing")
    assert attempts(tmp_path, 1) == 1


@pytest.mark.parametrize("what", ["raise", "die"])
def test_a_unit_that_fails_is_done_again(pooled: Executor, tmp_path: Path, what: str):
    units = [unit(i) for i in range(4)] + [unit(4, what=what, times=2)]
    assert len(list(pooled.map(units, make_worker, ToyRun(tmp_path)))) == 5
    assert [attempts(tmp_path, i) for i in range(5)] == [1, 1, 1, 1, 3]
    assert names(tmp_path) == [each.file for each in units]  # and nothing half-written


@pytest.mark.parametrize("what", ["raise", "die"])
def test_a_unit_that_always_fails_is_not_repeated_for_ever(pooled: Executor, tmp_path: Path, what: str):
    units = [unit(0), unit(1, what=what, times=99)]
    with pytest.raises(UserError) as refused:
        list(pooled.map(units, make_worker, ToyRun(tmp_path)))
    assert "unit-001.txt" in str(refused.value.given) and attempts(tmp_path, 1) == 3
    assert not (tmp_path / "unit-001.txt").exists()


def test_workers_that_end_while_they_start_are_reported(pooled: Executor, tmp_path: Path):
    with pytest.raises(UserError):
        list(pooled.map([unit(0)], dies_at_once, ToyRun(tmp_path)))
    assert names(tmp_path) == []


def test_units_are_done_beside_each_other_in_other_processes(pooled: Executor, tmp_path: Path):
    units = [unit(i, seconds=0.5) for i in range(16)]  # the second worker may start seconds later on a busy machine
    done = list(pooled.map(units, make_worker, ToyRun(tmp_path)))
    workers = {record.worker for record in done}
    assert len(workers) == 2 and not any(worker.endswith(f":{os.getpid()}") for worker in workers)


def test_ending_early_ends_the_workers(executor: Executor, tmp_path: Path):
    units = [unit(i, seconds=0.05) for i in range(40)]
    for _ in executor.map(units, make_worker, ToyRun(tmp_path)):
        break
    assert len(names(tmp_path)) < 40


def test_workers_stay_from_one_round_to_the_next(pooled: Pooled, tmp_path: Path):
    with Rounds(pooled.pool, make_caller, ToyRun(tmp_path)) as rounds:
        first, second = rounds.map([(1, 0), (2, 0)]), rounds.map([(3, 0), (4, 0), (5, 0)])
        assert [doubled for doubled, _ in first + second] == [2, 4, 6, 8, 10]
        assert len({process for _, process in first + second}) <= 2
        assert [doubled for doubled, _ in rounds.map([(6, 1), (7, 0)])] == [12, 14]
        assert len((tmp_path / "6.attempts").read_text().split()) == 2 and rounds.lost == 1
        with pytest.raises(UserError):
            rounds.map([(8, 99)])
        assert len((tmp_path / "8.attempts").read_text().split()) == 3


@pytest.mark.slow
def test_a_node_that_goes_takes_no_unit_with_it(nodes: Cluster, tmp_path: Path):
    units = [unit(i, seconds=0.5) for i in range(12)]
    done = []
    with closing(Pooled(RayPool(3, 1, 0, ToyRun))) as pooled:
        for record in pooled.map(units, make_worker, ToyRun(tmp_path)):
            done.append(record.file.name)
            if len(done) == 3:
                nodes.remove_node(nodes.worker_nodes.copy().pop())
    assert sorted(done) == [each.file for each in units]
    assert names(tmp_path) == [each.file for each in units]
    nodes.add_node(num_cpus=1, object_store_memory=STORE)
    assert len(nodes_of_cluster(None)) == 3


@pytest.mark.slow
def test_a_second_cluster_is_refused(nodes: Cluster):
    with pytest.raises(UserError), local_cluster(1, 1):
        pass


@pytest.mark.slow
def test_a_node_without_the_folder_is_refused(nodes: Cluster, tmp_path: Path):
    with closing(Pooled(RayPool(1, 1, 0, ToyRun))) as pooled, pytest.raises(UserError) as refused:
        list(pooled.map([unit(0)], make_worker, ToyRun(tmp_path / "elsewhere")))
    assert str(tmp_path / "elsewhere") in str(refused.value.given)


def test_a_file_that_is_not_what_the_worker_wrote_is_refused(tmp_path: Path):
    record = do(make_worker(ToyRun(tmp_path)), unit(0))
    assert check(record) is record
    record.file.write_text("another")
    with pytest.raises(UserError):
        check(record)


def node(**facts: object) -> Node:
    same = {"name": "a", "python": "3.11", "packages": "torch 2", "processor": "x86", "gpus": "none"}
    return Node(**{**same, "reads": True, "computed": "12", **facts})  # type: ignore[arg-type]


def test_nodes_that_differ_are_named():
    assert all(each.ok for each in compare([node(), node(name="b")]))
    for fact in (
        {"python": "3.12"},
        {"processor": "arm"},
        {"computed": "13"},
        {"reads": False},
        {"packages": "torch 3"},
    ):
        [differs] = [each for each in compare([node(), node(name="b", **fact)]) if not each.ok]
        assert sorted(differs.values.values()) == [["a"], ["b"]]
    assert len(compare([node(reads=None)])) == len(compare([node()])) - 1
    assert not compare([node(reads=False)])[-1].ok


OTHER_BITS = {"computed": "13"}


@pytest.mark.parametrize(
    ("fact", "mixed", "taken"),
    [({}, False, True), ({"reads": False}, True, False), (OTHER_BITS, False, False), (OTHER_BITS, True, True)],
)
def test_a_cluster_whose_nodes_differ_is_refused(
    fact: dict[str, object], mixed: bool, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And one of which a node does not see the folder of the run, however it is called."""
    monkeypatch.setattr(address, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(address, "nodes_of_cluster", lambda folder: [node(), node(name="b", **fact)])
    at = address.executor_at("auto", address.Workers(2), ToyRun, tmp_path, mixed=mixed)
    with nullcontext() if taken else refuses(given="b"), at as (executor, nodes):
        assert isinstance(executor, Pooled) and len(nodes) == 2


@pytest.mark.slow
def test_every_node_of_a_cluster_describes_itself(nodes: Cluster, tmp_path: Path):
    found = nodes_of_cluster(tmp_path)
    assert len({each.name for each in found}) == 3
    assert all(each.ok for each in compare(found)) and list(tmp_path.iterdir()) == []
