"""The pool of this machine: its workers live long, die alone, and never outlive the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from nirfire.pipeline.executors import LocalPool, Lost
from nirfire.pipeline.jobs import DONE, FAILED, Order, Outcome

from .cluster_help import drive, facts, lives, wait_until
from .toy import HERE, Field, statuses, those

ROOT = Path(__file__).resolve().parents[2]
CAPS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PARENT = f"""
import sys, time
from pathlib import Path
from nirfire.pipeline.executors import LocalPool
from nirfire.pipeline.jobs import Order
folder = Path(sys.argv[1])
pool = LocalPool(2, {{}})
for k in (1, 2):
    arguments = {{"out": folder / f"{{k}}.json", "seconds": 60}}
    pool.start(Order("clean", str(k), "{HERE}:tell", arguments, folder / f"{{k}}.log"))
pool.next()
"""


def order(folder, key, call="tell", **arguments):
    arguments = {"out": folder / f"{key}.json", **arguments}
    return Order("clean", str(key), f"{HERE}:{call}", arguments, folder / f"{key}.log")


@pytest.fixture(scope="module")
def pool():
    made = LocalPool(2, {**CAPS, "NIRFIRE_TEST": "here"})
    yield made
    made.close()


def refuse(environment):
    """A start of a worker that does not succeed."""
    os._exit(9)


def test_workers_serve_many_jobs(pool, tmp_path):
    outcomes, lost = drive(pool, [order(tmp_path, k) for k in range(8)])
    assert not lost
    told = [facts(tmp_path / f"{k}.json") for k in range(8)]
    pids = {one["pid"] for one in told}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert {one["parent"] for one in told} == {os.getpid()}
    assert {o.status for o in outcomes.values()} == {DONE}
    assert {int(o.worker.rpartition(":")[2]) for o in outcomes.values()} == pids
    assert all(0 < o.memory < 4 for o in outcomes.values())


def test_the_environment_is_there_before_any_library_is_loaded(pool, tmp_path):
    drive(pool, [order(tmp_path, 1)])
    told = facts(tmp_path / "1.json")
    assert told["environment"].items() >= {**CAPS, "NIRFIRE_TEST": "here"}.items()
    assert told["threads"] == 1, "numpy was loaded with one thread"
    assert "NIRFIRE_TEST" not in os.environ


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_is_started_whole_before_the_parent_obeys(tmp_path, monkeypatch, number):
    """The signal may reach any thread of the parent, which a mask of one thread does not prevent."""

    def interrupted(self):
        popen = started(self)
        sender = threading.Thread(target=os.kill, args=(os.getpid(), number))
        sender.start()
        sender.join()
        whole.append(True)
        return popen

    def obey(number, frame):
        raise KeyboardInterrupt

    whole: list[bool] = []
    pool = LocalPool(1, CAPS)
    started = pool._context.Process.start
    monkeypatch.setattr(pool._context.Process, "start", interrupted)
    before = signal.signal(number, obey)
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.start(order(tmp_path, 1))
    finally:
        signal.signal(number, before)
        pool.close(kill=True)
    assert whole


def test_workers_leave_interrupts_to_the_parent(pool, tmp_path):
    drive(pool, [order(tmp_path, 1)])
    told = facts(tmp_path / "1.json")
    assert told["ignores interrupts"]
    assert told["blocked"] == []


def test_more_orders_than_slots_are_refused(pool, tmp_path):
    assert pool.slots == 2
    for k in (1, 2):
        pool.start(order(tmp_path, k))
    with pytest.raises(RuntimeError, match="more orders than slots"):
        pool.start(order(tmp_path, 3))
    assert {pool.next().key, pool.next().key} == {"1", "2"}


def test_a_worker_that_died_idle_is_replaced(pool, tmp_path):
    drive(pool, [order(tmp_path, k) for k in range(2)])
    for k in range(2):
        pid = facts(tmp_path / f"{k}.json")["pid"]
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
        wait_until(lambda pid=pid: not lives(pid), 10, "it does not die")
    outcomes, lost = drive(pool, [order(tmp_path, k) for k in range(2, 4)])
    assert {o.status for o in outcomes.values()} == {DONE}
    assert len(lost) <= 1, "at most one death can be taken for that of a job"


def test_a_killed_worker_costs_its_job_alone(tmp_path):
    """It is tried once again, then the reason speaks of memory; all else is done."""
    field = Field(tmp_path)
    field.will(clean_2="killed", calibrate_1_7="gone", stack_8="failed")
    ended = field.run(make=lambda: LocalPool(2, {}))
    assert ended["clean 2"].status == ended["calibrate 1 7"].status == FAILED
    assert "killed by SIGKILL, most likely by the system for lack of memory" in ended["clean 2"].reason
    assert "(-j) (twice)" in ended["clean 2"].reason
    assert ended["calibrate 1 7"].reason == "its worker left with exit code 7 (twice)"
    done = {"clean 1", "clean 3", "calibrate 3 7", "calibrate 1 8", "calibrate 3 8", "stack 7", "redshift 7"}
    assert those(statuses(ended), DONE) == done | {"nodsub 7", "nodsub 8"}
    field.will()
    assert {"clean 2", "stack 7", "stack 8"} < those(statuses(field.run()), DONE)
    assert set(field.states().values()) == {DONE}


def test_a_worker_that_holds_too_much_memory_is_replaced(tmp_path):
    pool = LocalPool(1, {}, memory=1e-3)
    outcomes, lost = drive(pool, [order(tmp_path, k) for k in range(2)])
    pool.close()
    assert not lost
    assert len({o.worker for o in outcomes.values()}) == 2
    assert not any(lives(facts(tmp_path / f"{k}.json")["pid"]) for k in range(2))


def test_a_worker_that_cannot_start_is_lost_not_waited_for(tmp_path):
    pool = LocalPool(1, {}, start=refuse)
    pool.start(order(tmp_path, 1))
    ended = pool.next()
    pool.close()
    assert isinstance(ended, Lost)
    assert ended.order.key == "1"
    assert ended.reason == "its worker left with exit code 9"


def test_close_with_kill_does_not_wait_for_jobs(tmp_path):
    pool = LocalPool(1, {})
    pool.start(order(tmp_path, 1, seconds=600))
    wait_until((tmp_path / "1.json").exists, 60, "the job never began")
    pool.close(kill=True)
    assert not lives(facts(tmp_path / "1.json")["pid"])


def test_workers_die_with_their_parent(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], cwd=ROOT)
    told = [tmp_path / "1.json", tmp_path / "2.json"]
    wait_until(lambda: all(path.exists() for path in told), 60, "the jobs never began")
    pids = [facts(path)["pid"] for path in told]
    assert all(map(lives, pids))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(map(lives, pids)), 30, "an orphan goes on working")


def test_outcomes_are_small_and_whole(pool, tmp_path):
    pool.start(order(tmp_path, "x", call="none"))
    ended = pool.next()
    assert isinstance(ended, Outcome)
    assert (ended.task, ended.key, ended.status) == ("clean", "x", FAILED)
    assert "has no attribute 'none'" in ended.reason
