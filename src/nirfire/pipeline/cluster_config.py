"""What Parsl is told of a cluster: its configuration, made from the table ``[cluster]``."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from nirfire.errors import DataError
from nirfire.pipeline.cluster_node import BLOCK_NAME
from nirfire.pipeline.cluster_settings import ClusterSettings

LABEL = "nirfire"
POLL_SECONDS = 30  # between questions to SLURM about its jobs
SCALE_SECONDS = {"local": 1.0, "slurm": 10.0}  # between thoughts about more or fewer blocks
IDLE_SECONDS = 300.0  # without any job, after which blocks are given back
COMMAND_SECONDS = 60  # for sbatch, squeue and scancel
BEATS = 6  # signs of life that may be missed
TRIES = 3  # blocks that may fail one after the other
LAST_STARTS = 20 * 60  # no job starts this close to the end of a block (a fifth of its time at most) [s]


def parsl_config(settings: ClusterSettings, folder: Path) -> Any:
    """Parsl's configuration: that of the user, or one made from the settings.

    Parameters
    ----------
    settings : ClusterSettings
        The cluster.
    folder : Path
        Where Parsl keeps its logs and batch scripts.

    Returns
    -------
    parsl.config.Config

    Raises
    ------
    DataError
        The settings cannot be used here.
    """
    if settings.parsl_config:
        config = _own_config(settings.parsl_config)
        if config.run_dir == "runinfo":  # Parsl's default
            config.run_dir = str(folder)
        return config
    if any(c.isspace() for c in str(folder)):
        raise DataError(
            "SLURM and Parsl cannot use a folder with a blank in its name",
            file=folder,
            remedy="set cluster.run_dir to another folder that all nodes see",
        )
    from parsl.config import Config

    return Config(
        executors=[_executor(settings)],
        run_dir=str(folder),
        strategy="simple",  # "htex_auto_scale" takes back blocks that have not yet begun
        strategy_period=SCALE_SECONDS[settings.provider],
        max_idletime=IDLE_SECONDS,
        retries=0,
        usage_tracking=0,
        initialize_logging=False,
    )


def _executor(settings: ClusterSettings) -> Any:
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD, HighThroughputExecutor

    local = settings.provider == "local"
    return HighThroughputExecutor(
        label=LABEL,
        provider=_local(settings) if local else _slurm(settings),
        launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", "python -P -m nirfire.pipeline.cluster_pool"),
        interchange_launch_cmd=[sys.executable, "-P", "-m", "nirfire.pipeline.cluster_relay", str(os.getpid())],
        address="127.0.0.1" if local else settings.address,
        max_workers_per_node=settings.workers_per_node,
        cores_per_worker=float(settings.cores_per_worker),
        heartbeat_period=settings.heartbeat,
        heartbeat_threshold=BEATS * settings.heartbeat,
        drain_period=None if local else _drain_seconds(settings.walltime),
        block_error_handler=_stop_when_all_fail,
    )


def _drain_seconds(walltime: str) -> int:
    """Age of a block after which it begins no more jobs [s]."""
    hours, minutes, seconds = map(int, walltime.split(":"))
    total = 3600 * hours + 60 * minutes + seconds
    return max(1, total - min(LAST_STARTS, total // 5))


SHELL_LINES = """\
export PATH={folder}:"$PATH"
export PARSL_CORES={cores}
nirfire_end() {{
  pkill -TERM -g 0 -f multiprocessing.spawn 2>/dev/null || :
  {clear}
}}
trap nirfire_end EXIT
{own}"""


def _shell_lines(settings: ClusterSettings) -> str:
    """Make this very environment, and enough cores for the workers, known in a block; leave nothing behind.

    Helpers of a pool that is killed, and the files of its jobs, would stay.
    """
    return SHELL_LINES.format(
        folder=shlex.quote(str(Path(sys.executable).parent)),
        cores=settings.workers_per_node * settings.cores_per_worker,
        clear=f'rm -rf -- "{settings.scratch}/${{{BLOCK_NAME}:?}}"' if settings.scratch else ":",
        own=settings.worker_init,
    )


def _local(settings: ClusterSettings) -> Any:
    from parsl.providers import LocalProvider

    if settings.nodes > 1:
        raise DataError("this machine is one node", key="cluster.nodes", remedy='set it to 1, or provider = "slurm"')
    return LocalProvider(
        init_blocks=1,
        min_blocks=0,
        max_blocks=settings.blocks,
        worker_init=_shell_lines(settings),
        cmd_timeout=COMMAND_SECONDS,
    )


def _slurm(settings: ClusterSettings) -> Any:
    from parsl.launchers import SingleNodeLauncher, SrunLauncher
    from parsl.providers import SlurmProvider

    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise DataError(
            f"SLURM's commands are not here: {', '.join(missing)}",
            key="cluster.provider",
            remedy="run on a login node of the cluster",
        )

    class Provider(SlurmProvider):
        status_polling_interval = POLL_SECONDS

    cores = settings.workers_per_node * settings.cores_per_worker
    several = SrunLauncher(debug=False, overrides=f"--cpus-per-task={cores}")
    return Provider(
        partition=settings.partition,
        account=settings.account,
        nodes_per_block=settings.nodes,
        cores_per_node=cores,
        mem_per_node=settings.mem_per_node,
        init_blocks=1,
        min_blocks=0,
        max_blocks=settings.blocks,
        walltime=settings.walltime,
        scheduler_options=settings.scheduler_options,
        worker_init=_shell_lines(settings),
        cmd_timeout=COMMAND_SECONDS,
        exclusive=False,
        launcher=several if settings.nodes > 1 else SingleNodeLauncher(debug=False),
    )


def _own_config(place: str) -> Any:
    """Load a Parsl configuration of the user's own, or call the function that makes it."""
    from parsl.config import Config

    file, _, name = place.rpartition(":")
    path = Path(file).expanduser()
    spec = importlib.util.spec_from_file_location("nirfire_own_parsl_config", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise DataError("not a Python file", file=path, key="cluster.parsl_config", remedy='write "file.py:name"')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = getattr(module, name, None)
    config = config() if callable(config) else config
    if not isinstance(config, Config):
        raise DataError(f"'{name}' is no parsl.config.Config", file=path, key="cluster.parsl_config")
    return config


def _stop_when_all_fail(executor: Any, status: dict[str, Any]) -> None:
    """Give up when the last blocks never reached their workers, and no other is there; called by Parsl."""
    newest = [status[block] for block in sorted(status, key=int)[-TRIES:]]
    if len(newest) < TRIES or not all(map(_never_began, newest)) or any(not s.terminal for s in status.values()):
        return
    last = newest[-1]
    said = f"{last.message or ''}\n{last.stderr_summary or ''}".rpartition("stderr=")[2]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    executor.set_bad_state_and_fail_all(
        DataError(
            f"no workers: the last {TRIES} batch jobs ended before theirs had begun\n  " + "\n  ".join(lines[-6:]),
            file=last.stderr_path,
            key="cluster",
            remedy="mend the settings in [cluster]; finished jobs are kept",
        )
    )


def _never_began(status: Any) -> bool:
    """True for a block that Parsl found to have had no workers, or that the scheduler refused."""
    return status.state.name == "MISSING" or (status.state.name == "FAILED" and not status.stderr_path)
