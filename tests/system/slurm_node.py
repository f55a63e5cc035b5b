"""A real SLURM, on the loopback address of this machine, for as long as a test needs it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "srun")
PARTITION = "nirfire"
MEMORY = 20000  # said to be in each node [MB]; nothing is held to it
START_SECONDS = 30
STOP_SECONDS = 10

CONFIGURATION = """
ClusterName=nirfire
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MinJobAge=300
{nodes}
PartitionName={partition} Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory} State=UNKNOWN"
)


class NoSlurm(Exception):
    """A SLURM cannot be run here; says why."""


@dataclass(frozen=True)
class SlurmNode:
    """A running SLURM.

    Attributes
    ----------
    folder : Path
        Its configuration, spool and logs.
    environment : dict
        What its commands and their users need: ``SLURM_CONF`` and ``PATH``.
    """

    folder: Path
    environment: dict[str, str]

    def command(self, *words: object, check: bool = True) -> str:
        """Run one of SLURM's commands; gives what it printed."""
        done = subprocess.run(
            [str(w) for w in words],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{words[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """Identifiers of the batch jobs in the given states; by default those that have not ended."""
        chosen = ["--states", ",".join(states)] if states else []
        return self.command("squeue", "--noheader", "--array", "--format=%i", *chosen).split()

    def wait_for_jobs(self, seconds: float) -> None:
        """Wait until no batch job is left."""
        _wait(lambda: not self.jobs(), seconds, f"jobs still in the queue: {self.jobs()}")


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"])


def _wait(true: Callable[[], bool], seconds: float, complaint: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(complaint)
        time.sleep(0.2)


def _free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


@contextmanager
def _daemon(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return " | ".join(lines[-4:]) or "no log"


@contextmanager
def slurm_node(cpus: int = 2, nodes: int = 1) -> Iterator[SlurmNode]:
    """Start munged, slurmctld and slurmd on loopback; stop them and what they ran at the end.

    Parameters
    ----------
    cpus : int
        Cores that each node is said to have.
    nodes : int
        Number of nodes; all are this machine.

    Yields
    ------
    SlurmNode

    Raises
    ------
    NoSlurm
        A program is missing, or may not be run here.
    """
    path = _search_path()
    missing = [name for name in (*DAEMONS, *COMMANDS) if shutil.which(name, path=path) is None]
    if missing:
        raise NoSlurm(f"not installed: {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)")
    folder = Path(tempfile.mkdtemp(prefix="nirfire-slurm-"))  # short: a socket's path has at most 107 characters
    try:
        folder.chmod(0o755)
        with _running(folder, cpus, nodes, path) as node:
            try:
                yield node
            finally:
                node.command("scancel", "--quiet", "--user", getpass.getuser(), check=False)
                _wait(lambda: not node.jobs(), STOP_SECONDS, "batch jobs outlive scancel")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path, cpus: int, nodes: int, path: str) -> Iterator[SlurmNode]:
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    node = SlurmNode(folder, environment)
    names = [f"node{k + 1}" for k in range(nodes)]
    _configure(folder, cpus, names)
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge],
        ["slurmctld", "-D"],
        *(["slurmd", "-D", *(["-N", name] if nodes > 1 else [])] for name in names),
    ]
    with ExitStack() as stack:
        processes: dict[str, subprocess.Popen] = {}
        for k, command in enumerate(commands):
            program, log = shutil.which(command[0], path=path), folder / f"{k}-{command[0]}.out"
            daemon = _daemon([str(program), *command[1:]], log, os.environ | environment)
            processes[log.name] = stack.enter_context(daemon)
            if command[0] == "munged":
                _started((folder / "munge.socket").exists, processes, folder)
        _started(
            lambda: node.command("sinfo", "-hN", "-o", "%t", check=False).split() == ["idle"] * nodes, processes, folder
        )
        yield node


def _configure(folder: Path, cpus: int, names: list[str]) -> None:
    """Write SLURM's configuration and MUNGE's key."""
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    controller, *ports = _free_ports(1 + len(names))
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    nodes = [
        NODE.format(name=name, host=host, port=port, cpus=cpus, memory=MEMORY)
        for name, port in zip(names, ports, strict=True)
    ]
    text = CONFIGURATION.format(
        host=host, user=user, folder=folder, partition=PARTITION, controller_port=controller, nodes="\n".join(nodes)
    )
    (folder / "slurm.conf").write_text(text)


def _started(ready: Callable[[], bool], processes: dict[str, subprocess.Popen], folder: Path) -> None:
    """Wait for a daemon; one that ends at once, or never gets ready, is not permitted to work here."""
    end = time.monotonic() + START_SECONDS
    while not ready():
        ended = [name for name, process in processes.items() if process.poll() is not None]
        if ended or time.monotonic() > end:
            log = ended[0] if ended else list(processes)[-1]
            raise NoSlurm(f"{log.partition('-')[2].partition('.')[0]} does not run here: {_tail(folder / log)}")
        time.sleep(0.2)
