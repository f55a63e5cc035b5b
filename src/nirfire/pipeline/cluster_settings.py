"""How to get at the nodes of a cluster: the table ``[cluster]`` of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nirfire.tasks.settings import Settings


class ClusterSettings(Settings):
    """The cluster that ``--executor parsl`` runs on.

    A block is one batch job of the scheduler, of one node or more; on each node there are several workers, and each
    runs one job at a time. Values marked [on the node] may name variables such as ``$TMPDIR`` or ``$SLURM_JOB_ID``,
    which are filled in there.
    """

    provider: Literal["local", "slurm"] = Field("local", description="where nodes come from: this machine, or SLURM")
    blocks: int = Field(1, ge=1, description="most batch jobs at a time; fewer are asked for when there is less to do")
    nodes: int = Field(1, ge=1, description="nodes of one batch job")
    workers_per_node: int = Field(4, ge=1, description="workers on each node")
    cores_per_worker: int = Field(1, ge=1, description="cores asked for each worker")
    mem_per_node: int | None = Field(None, ge=1, description="memory asked for each node [GB]; by default the site's")
    partition: str | None = Field(None, description="SLURM partition; by default the site's")
    account: str | None = Field(None, description="SLURM account; by default the user's")
    walltime: str = Field("02:00:00", pattern=r"^\d+:[0-5]\d:[0-5]\d$", description="time of a batch job [HH:MM:SS]")
    scheduler_options: str = Field("", description="further #SBATCH lines")
    worker_init: str = Field("", description="shell lines run in each batch job before its workers start")
    scratch: str | None = Field(
        None, description="folder [on the node] in which each batch job keeps temporary files; by default $TMPDIR"
    )
    references: str | None = Field(
        None, description="CRDS_PATH [on the node], where a copy of the references lies there; by default that of here"
    )
    run_dir: str | None = Field(
        None, description="folder of Parsl's logs and batch scripts, seen by all nodes; by default in the workspace"
    )
    address: str | None = Field(
        None, description="name or address of this machine as seen from the nodes; by default all are tried"
    )
    heartbeat: int = Field(10, ge=1, description="seconds between signs of life; a node silent for six is lost")
    patience: float = Field(
        24.0, gt=0, description="hours without a node, or without a job's end, until a run is given up"
    )
    parsl_config: str | None = Field(
        None, description='"file.py:name" of a Parsl Config of your own; all above but scratch and references is unused'
    )
