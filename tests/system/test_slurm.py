"""Jobs on a real SLURM of one node, which the tests start on the loopback address."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.pipeline import cluster_config
from nirfire.pipeline.cluster import ClusterSettings, ParslExecutor
from nirfire.pipeline.jobs import DONE
from nirfire.products.naming import RATE, SHUTTERS, Workspace
from tests.conftest import nirfire
from tests.pipeline.cluster_help import Killer, drive, facts, order, wait_until, write_jobs

from .slurm_node import PARTITION, NoSlurm, SlurmNode, slurm_node

pytest.importorskip("parsl", reason="nirfire[cluster] is not installed")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running(nodes: int = 1) -> Iterator[SlurmNode]:
    """A SLURM whose commands this process finds; skips where there can be none."""
    with ExitStack() as stack:
        try:
            slurm = stack.enter_context(slurm_node(nodes=nodes))
        except NoSlurm as error:
            pytest.skip(f"no SLURM here: {error}")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in slurm.environment.items():
            patch.setenv(name, value)
        patch.setattr(cluster_config, "POLL_SECONDS", 2)
        patch.setattr(cluster_config, "SCALE_SECONDS", {"slurm": 1.0})
        yield slurm
        slurm.wait_for_jobs(20)  # none is left behind


@pytest.fixture(scope="module")
def node() -> Iterator[SlurmNode]:
    with running() as slurm:
        yield slurm


def settings(folder: Path, **more: object) -> ClusterSettings:
    """The cluster that all tests use."""
    usual = {
        "provider": "slurm",
        "partition": PARTITION,
        "workers_per_node": 2,
        "walltime": "00:10:00",
        "heartbeat": 2,
        "worker_init": write_jobs(folder),
    }
    return ClusterSettings(**(usual | more))  # type: ignore[arg-type]


@pytest.fixture
def executor(node: SlurmNode, tmp_path: Path) -> Iterator[ParslExecutor]:
    made = ParslExecutor(settings(tmp_path, scratch=f"{tmp_path}/$SLURM_JOB_ID"), {"OMP_NUM_THREADS": "1"}, tmp_path)
    yield made
    made.close()


def test_jobs_run_inside_a_batch_job(executor, node, tmp_path):
    told = tmp_path / "told.json"
    jobs = [order(tmp_path, "tell", "tell", path=str(told)), order(tmp_path, "wrong", "wrong")]
    outcomes, lost = drive(executor, jobs + [order(tmp_path, k, "nothing") for k in range(200)])
    environment = facts(told)["environment"]
    assert environment["SLURM_JOB_ID"] == node.jobs("RUNNING")[0]
    assert environment["SLURM_CPUS_ON_NODE"] == "2"
    assert environment["OMP_NUM_THREADS"] == "1"
    scratch = Path(environment["TMPDIR"])
    assert scratch.parent == tmp_path / environment["SLURM_JOB_ID"]
    assert scratch.is_dir()
    assert sum(o.status == DONE for o in outcomes.values()) == 201
    assert not lost
    executor.close()
    wait_until(lambda: not node.jobs(), 10, "the batch job outlives the run")
    assert not scratch.exists()


@pytest.mark.parametrize(("generations", "reason"), [(0, "SIGKILL"), (1, "node was lost"), (2, "node was lost")])
def test_a_worker_killed_in_mid_job_is_lost_and_its_job_is_done_by_another(
    executor, node, tmp_path, generations, reason
):
    sleeper = tmp_path / "sleeper.json"

    killer = Killer(sleeper, generations)
    killer.start()
    jobs = [order(tmp_path, "sleeper", "nap", path=str(sleeper), seconds=600)]
    outcomes, lost = drive(executor, jobs + [order(tmp_path, k, "nothing") for k in range(60)])
    killer.check()
    assert len(outcomes) == 61
    assert all(o.status == DONE for o in outcomes.values())
    assert [reason in ended.reason for ended in lost if ended.order.key == "sleeper"] == [True]


def test_a_cancelled_batch_job_is_replaced(executor, node, tmp_path):
    sleeper = tmp_path / "sleeper.json"

    def cancel() -> None:
        wait_until(sleeper.exists, 60, "the job never began")
        node.command("scancel", *node.jobs())

    thread = threading.Thread(target=cancel)
    thread.start()
    outcomes, lost = drive(executor, [order(tmp_path, "sleeper", "nap", path=str(sleeper), seconds=600)])
    thread.join()
    assert outcomes["sleeper"].status == DONE
    assert ["node was lost" in ended.reason for ended in lost] == [True]
    assert facts(sleeper)["environment"]["SLURM_JOB_ID"] not in node.jobs("RUNNING")


def test_work_goes_on_beyond_the_time_of_a_batch_job(node, tmp_path):
    executor = ParslExecutor(settings(tmp_path, walltime="00:01:00"), {}, tmp_path)
    told = [tmp_path / f"{k}.json" for k in range(28)]
    try:
        outcomes, lost = drive(
            executor, [order(tmp_path, path.stem, "nap", path=str(path), seconds=4) for path in told]
        )
    finally:
        executor.close()
    assert all(o.status == DONE for o in outcomes.values())
    assert not lost
    assert len({facts(path)["environment"]["SLURM_JOB_ID"] for path in told}) > 1


def error_of(executor: ParslExecutor, folder: Path) -> DataError:
    try:
        executor.start(order(folder, "never", "nothing"))
        with pytest.raises(DataError) as caught:
            executor.next()
    finally:
        executor.close(kill=True)
    return caught.value


def test_what_the_scheduler_refuses_is_said(node, tmp_path):
    executor = ParslExecutor(settings(tmp_path, partition="nosuch"), {}, tmp_path)
    assert "invalid partition" in error_of(executor, tmp_path).message.lower()


def test_a_node_that_never_comes_is_said(node, tmp_path):
    node.command("scontrol", "update", "NodeName=node1", "State=DRAIN", "Reason=test")
    try:
        error = error_of(ParslExecutor(settings(tmp_path, patience=8 / 3600), {}, tmp_path), tmp_path)
    finally:
        node.command("scontrol", "update", "NodeName=node1", "State=RESUME")
    assert "no node for" in error.message
    assert "1 pending" in error.message


def test_one_batch_job_of_two_nodes(tmp_path):
    with running(nodes=2) as slurm:
        executor = ParslExecutor(settings(tmp_path, nodes=2, workers_per_node=1), {}, tmp_path)
        told = [tmp_path / f"{k}.json" for k in range(8)]
        try:
            assert executor.slots == 4
            outcomes, _ = drive(executor, [order(tmp_path, p.stem, "nap", path=str(p), seconds=3) for p in told])
            assert len(slurm.jobs()) == 1
        finally:
            executor.close()
    assert all(o.status == DONE for o in outcomes.values())
    assert {facts(path)["environment"]["SLURMD_NODENAME"] for path in told} == {"node1", "node2"}


def test_job_arrays_do_what_one_run_does(node, small_demo, tmp_path, monkeypatch):
    """The batch scripts of docs/cluster.md, on exposures whose ramps are fitted already."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    ready = tmp_path / "demo-nirfire" / "exposures"
    for source, target in ((small_demo.place.folder / "raw", tmp_path / "demo"), (small_demo.place.exposures, ready)):
        target.mkdir(parents=True)
        for path in source.glob("*.fits"):
            if not path.name.endswith((RATE, SHUTTERS)):
                os.link(path, target / path.name)
    script = re.search(r"exposures.sh <<'END'\n(.*?)END\n", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    (tmp_path / "exposures.sh").write_text(script[1])
    (tmp_path / "sources.sh").write_text(script[1].replace("--to clean", "--from calibrate"))
    single = re.sub(r"#SBATCH --array.*\n", "", script[1])
    (tmp_path / "shutters.sh").write_text(re.sub("--to clean.*", "--from shutters --to shutters", single))
    first = node.command("sbatch", "--parsable", "exposures.sh")
    second = node.command("sbatch", "--parsable", f"--dependency=afterany:{first}", "shutters.sh")
    node.command("sbatch", f"--dependency=afterany:{second}", "sources.sh")
    node.wait_for_jobs(1200)
    said = {path.name: path.read_text() for path in tmp_path.glob("slurm-*.out")}
    assert len(said) == 5
    run = nirfire("run", "demo", cwd=tmp_path)
    assert run.returncode == 0, said
    assert re.search(r"demo: \d+ skipped in", run.stdout + run.stderr), run.stdout + run.stderr
    place = Workspace(tmp_path / "demo-nirfire", "demo")
    mine, theirs = (Table.read(p.summary("ecsv")) for p in (place, small_demo.place))
    assert len(mine) == len(theirs) > 0
    for column in ("source_id", "redshift_auto", "signal_to_noise"):
        assert list(mine[column]) == list(theirs[column])
