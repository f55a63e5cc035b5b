"""Jobs through Parsl: on this machine, and with stand-ins for the commands of SLURM."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from nirfire.errors import DataError
from nirfire.pipeline import cluster, cluster_config
from nirfire.pipeline.cluster import ClusterSettings, ParslExecutor
from nirfire.pipeline.cluster_node import NodeSetup
from nirfire.pipeline.executors import Lost
from nirfire.pipeline.jobs import DATA_ERROR, DONE, FAILED

from .cluster_help import Killer, drive, facts, lives, order, wait_until, write_jobs

pytest.importorskip("parsl", reason="nirfire[cluster] is not installed")

ROOT = Path(__file__).resolve().parents[2]
CAP = "OMP_NUM_THREADS"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def executor(place):
    """One for all tests that do no harm to it: it takes seconds to start."""
    settings = ClusterSettings(workers_per_node=2, worker_init=write_jobs(place), scratch=f"{place}/tmp-$PARSL_CORES")
    made = ParslExecutor(settings, {CAP: "1", "CRDS_PATH": "/references"}, place)
    drive(made, [order(place, "first", "nothing")])  # its start is not what tests measure
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch):
    """Look around more often."""
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(cluster_config, "POLL_SECONDS", 0.5)
    monkeypatch.setattr(cluster_config, "SCALE_SECONDS", {"local": 0.5, "slurm": 0.2})


# --- on this machine -------------------------------------------------------------------------------------------------


def test_jobs_end_each_in_its_own_way(executor, place):
    orders = [order(place, name, name) for name in ("nothing", "wrong", "unusable")]
    outcomes, lost = drive(executor, orders)
    assert {key: o.status for key, o in outcomes.items()} == {"nothing": DONE, "wrong": FAILED, "unusable": DATA_ERROR}
    assert "no such slit" in outcomes["wrong"].reason
    assert "ValueError" in (place / "logs" / "wrong.log").read_text()
    assert not lost


def test_a_killed_job_is_lost_at_once_and_the_rest_finish(executor, place):
    orders = [order(place, "die", "die"), *(order(place, f"beside-{k}", "nothing") for k in range(20))]
    start = time.monotonic()
    outcomes, lost = drive(executor, orders)
    assert [(ended.order.key, "SIGKILL" in ended.reason) for ended in lost] == [("die", True)] * 2
    assert len(outcomes) == 20
    assert all(o.status == DONE for o in outcomes.values())
    assert time.monotonic() - start < cluster_config.BEATS * ClusterSettings().heartbeat, "not when it is missed"


def test_workers_are_told_the_environment_and_live_on(executor, place):
    told = [place / f"told-{k}.json" for k in range(6)]
    drive(executor, [order(place, path.stem, "tell", path=str(path)) for path in told])
    found = [facts(path) for path in told]
    assert 1 <= len({f["pid"] for f in found}) <= 2
    for one in found:
        assert one["environment"][CAP] == "1"
        assert one["environment"]["CRDS_PATH"] == "/references"
        assert one["environment"]["TMPDIR"].startswith(f"{place}/tmp-2/parsl.nirfire.block-0")
        assert one["interrupt"]
        assert not one["blocked"]
    assert Path(found[0]["environment"]["TMPDIR"]).is_dir()


def test_hundreds_of_jobs_cost_milliseconds_each(executor, place):
    n, start, busy = 300, time.perf_counter(), time.process_time()
    outcomes, lost = drive(executor, [order(place, k, "nothing", number=k) for k in range(n)])
    each, own = (time.perf_counter() - start) / n, (time.process_time() - busy) / n
    logging.getLogger(__name__).warning("%.2f ms per job, %.2f ms of it work in the parent", 1e3 * each, 1e3 * own)
    assert set(outcomes) == {str(k) for k in range(n)}
    assert not lost
    assert each < 0.1


def test_parsl_says_what_it_does_only_in_its_log(executor, place, capfd):
    drive(executor, [order(place, "quiet", "nothing")])
    assert capfd.readouterr() == ("", "")
    assert "Scaling out" in (place / "cluster" / "parsl.log").read_text()


@pytest.fixture
def own(tmp_path, quick):
    """An executor of its own, for a test that does harm to it."""
    settings = ClusterSettings(workers_per_node=2, heartbeat=1, worker_init=write_jobs(tmp_path))
    made = ParslExecutor(settings, {}, tmp_path)
    yield made
    made.close(kill=True)


@pytest.mark.slow
@pytest.mark.parametrize(("generations", "reason"), [(0, "SIGKILL"), (1, "node was lost"), (2, "node was lost")])
def test_what_is_killed_from_outside_takes_only_its_own_jobs_with_it(own, tmp_path, generations, reason):
    sleeper = tmp_path / "sleeper.json"
    killer = Killer(sleeper, generations)
    killer.start()
    jobs = [order(tmp_path, "sleeper", "nap", path=str(sleeper), seconds=600)]
    outcomes, lost = drive(own, jobs + [order(tmp_path, k, "nothing") for k in range(50)])
    killer.check()
    assert all(o.status == DONE for o in outcomes.values())
    assert len(outcomes) == 51
    mine = [ended for ended in lost if ended.order.key == "sleeper"]
    assert [reason in ended.reason for ended in mine] == [True]


@pytest.mark.slow
def test_a_worker_killed_while_it_waits_does_not_block_the_others(own, tmp_path):
    told = [tmp_path / f"{k}.json" for k in range(8)]
    drive(own, [order(tmp_path, path.stem, "nap", path=str(path), seconds=0.5) for path in told])
    for waiting in {facts(path)["parent"] for path in told}:
        os.kill(waiting, signal.SIGKILL)
    outcomes, _ = drive(own, [order(tmp_path, f"later-{k}", "nothing") for k in range(8)])
    assert all(o.status == DONE for o in outcomes.values())


@pytest.mark.slow
def test_without_the_relay_there_is_a_clear_error(own, tmp_path):
    own.start(order(tmp_path, "first", "nothing"))
    own.next()
    own._executors[0].interchange_proc.kill()
    own.start(order(tmp_path, "second", "nothing"))
    with pytest.raises(DataError, match="passes jobs to the nodes has ended"):
        own.next()


SCRIPT = """
import sys
from pathlib import Path
from nirfire.pipeline.cluster import ClusterSettings, ParslExecutor
from tests.pipeline.cluster_help import order, write_jobs

place = Path(sys.argv[1])
settings = ClusterSettings(workers_per_node=1, heartbeat=1, worker_init=write_jobs(place))
executor = ParslExecutor(settings, {}, place)
try:
    executor.start(order(place, "sleeper", "nap", path=str(place / "sleeper.json"), seconds=600))
    executor.next()
except KeyboardInterrupt:
    sys.exit(130)
finally:
    executor.close(kill=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("by", "code", "seconds"), [(signal.SIGINT, 130, 10), (signal.SIGKILL, -9, 30)])
def test_nothing_outlives_a_run_that_was_interrupted_or_killed(tmp_path, by, code, seconds):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    sleeper = tmp_path / "sleeper.json"
    wait_until(sleeper.exists, 60, "the job never began")
    if by == signal.SIGINT:
        os.killpg(run.pid, by)  # as the terminal does: all of the run's process group get it
    else:
        run.kill()
    assert run.wait(60) == code
    workers = [facts(sleeper)["pid"], facts(sleeper)["parent"]]
    wait_until(lambda: not any(lives(pid) for pid in workers), seconds, "workers outlive the run")
    relay = ["pgrep", "-f", f"cluster_relay {run.pid}"]
    wait_until(lambda: not subprocess.run(relay, capture_output=True).stdout, 5, "the relay outlives the run")


# --- what goes wrong at the start ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_block_that_fails_at_the_start_is_a_clear_error(tmp_path, quick):
    settings = ClusterSettings(worker_init="echo no such module: Anaconda >&2; exit 3")
    executor = ParslExecutor(settings, {}, tmp_path)
    try:
        executor.start(order(tmp_path, "never", "nothing"))
        with pytest.raises(DataError, match="no such module: Anaconda") as caught:
            executor.next()
    finally:
        executor.close(kill=True)
    assert caught.value.file is not None


COMMANDS = {
    "sbatch": 'echo "$1" >> {here}/submitted; echo Submitted batch job $(grep -c . {here}/submitted)',
    "squeue": 'for n in $(seq 9); do echo "$n PD"; done',
    "scancel": 'echo "$@" >> {here}/cancelled',
    "sacct": "exit 1",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Stand-ins for SLURM's commands; gives a function that changes them."""
    here = tmp_path / "site"
    here.mkdir()

    def set_up(**commands: str) -> Path:
        for name, line in (COMMANDS | commands).items():
            (here / name).write_text(f"#!/bin/sh\n{line.format(here=here)}\n")
            (here / name).chmod(0o755)
        return here

    monkeypatch.setenv("PATH", str(here), prepend=os.pathsep)
    return set_up


def slurm(**more: object) -> ClusterSettings:
    return ClusterSettings(provider="slurm", **more)  # type: ignore[arg-type]


def first_error(settings: ClusterSettings, folder: Path) -> DataError:
    executor = ParslExecutor(settings, {}, folder)
    try:
        executor.start(order(folder, "never", "nothing"))
        with pytest.raises(DataError) as caught:
            executor.next()
    finally:
        executor.close(kill=True)
    return caught.value


def test_a_scheduler_that_gives_no_node_is_a_clear_error(tmp_path, quick, site):
    here = site()
    error = first_error(slurm(patience=1 / 3600, walltime="01:00:00", partition="astro", mem_per_node=32), tmp_path)
    assert "no node for" in error.message
    assert "1 pending" in error.message
    assert error.key == "cluster.patience"
    assert (here / "cancelled").read_text().split() == ["1"]
    script = Path((here / "submitted").read_text().split()[0]).read_text()
    for line in ("--partition=astro", "--time=60", "--mem=32g", "--cpus-per-task=4", "--nodes=1"):
        assert f"#SBATCH {line}\n" in script
    assert str(Path(sys.executable).parent) in script
    assert "--drain_period=2880" in script
    assert "--exclusive" not in script


def test_a_scheduler_that_refuses_is_a_clear_error(tmp_path, quick, site):
    site(sbatch="echo sbatch: error: invalid account >&2; exit 1")
    assert "invalid account" in first_error(slurm(account="nobody"), tmp_path).message


def test_batch_jobs_that_end_before_their_workers_begin_are_a_clear_error(tmp_path, quick, site):
    here = site(squeue="exit 0")
    assert "the last 3 batch jobs" in first_error(slurm(), tmp_path).message
    assert len((here / "submitted").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"provider": "slurm"}, "cluster.provider"),
        ({"nodes": 2}, "cluster.nodes"),
        ({"parsl_config": "absent.py:config"}, "cluster.parsl_config"),
        ({"parsl_config": "no_colon"}, "cluster.parsl_config"),
    ],
)
def test_settings_that_cannot_be_used_here(tmp_path, monkeypatch, settings, key):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        ParslExecutor(ClusterSettings(**settings), {}, tmp_path)
    assert caught.value.key == key


def test_a_folder_with_a_blank_is_refused(tmp_path):
    with pytest.raises(DataError, match="blank"):
        ParslExecutor(ClusterSettings(), {}, tmp_path / "my survey")


def test_without_parsl_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "parsl", None)
    with pytest.raises(DataError, match=r"pip install 'nirfire\[cluster\]'"):
        ParslExecutor(ClusterSettings(), {}, tmp_path)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"walltime": "2h"}, {"provider": "pbs"}, {"blocks": 0}, {"wall_time": "01:00:00"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        ClusterSettings(**wrong)


@pytest.mark.parametrize(("walltime", "seconds"), [("00:05:00", 240), ("24:00:00", 85200), ("00:00:01", 1)])
def test_no_job_begins_late_in_a_block(walltime, seconds):
    assert cluster_config._drain_seconds(walltime) == seconds


def test_references_on_the_node_are_found_there(monkeypatch):
    monkeypatch.setenv("NODE_DISK", "/local/17")
    setup = NodeSetup((("CRDS_PATH", "/shared/crds"), (CAP, "1")), references="$NODE_DISK/crds")
    assert setup.variables() == {"CRDS_PATH": "/local/17/crds", CAP: "1"}


def test_the_tables_of_the_page_are_valid():
    page = (ROOT / "docs" / "cluster.md").read_text()
    found = re.findall(r"```toml\n(.*?)```|<<'END'\n(\[execution\].*?)END\n", page, re.DOTALL)
    tables = [tomllib.loads(first or second)["cluster"] for first, second in found]
    assert len(tables) > 5
    for table in tables:
        ClusterSettings(**table)


def test_settings_are_light():
    code = "import sys, nirfire.pipeline.cluster_settings; print({'parsl', 'numpy', 'astropy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


OWN = """
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

def threads():
    return Config(executors=[ThreadPoolExecutor(label="mine", max_threads=2)], initialize_logging=False)

number = 3
"""


def test_a_parsl_config_of_ones_own(tmp_path, monkeypatch):
    write_jobs(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    executor = ParslExecutor(ClusterSettings(parsl_config=f"{tmp_path}/own.py:threads"), {CAP: "1"}, tmp_path)
    try:
        assert executor.slots == 4
        outcomes, lost = drive(executor, [order(tmp_path, k, "nothing") for k in range(8)])
        executor.start(order(tmp_path, "die", "die"))
        assert isinstance(executor.next(), Lost)
    finally:
        executor.close()
    assert len(outcomes) == 8
    assert not lost
    with pytest.raises(DataError, match="is no parsl"):
        ParslExecutor(ClusterSettings(parsl_config=f"{tmp_path}/own.py:number"), {}, tmp_path)
