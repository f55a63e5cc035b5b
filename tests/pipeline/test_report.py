"""What a run did and what it cost."""

from __future__ import annotations

import subprocess
import sys

from nirfire.pipeline import report as module
from nirfire.pipeline.jobs import DONE, FAILED, Job, Outcome
from nirfire.pipeline.report import Recorder, RunReport, StageReport, peak_memory

from .cluster_help import wait_until
from .toy import TASKS


def test_outcomes_are_sorted_by_stage_and_timed(monkeypatch):
    clock = iter([10.0, 12.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    recorder = Recorder()
    recorder.started(Job(TASKS["clean"], "1", {}))
    recorder.ended(Outcome("clean", "1", DONE, memory=0.5))
    recorder.started(Job(TASKS["stack"], "1", {}))
    recorder.ended(Outcome("clean", "2", FAILED, memory=1.5))
    recorder.ended(Outcome("input", "x", DONE))
    clean, given = recorder.stages()
    assert (clean.stage, len(clean.outcomes), clean.seconds, clean.peak_memory) == ("clean", 2, 10.0, 1.5)
    assert (given.stage, given.seconds) == ("input", 0.0), "nothing of it was started"


def test_the_exit_code_is_that_of_the_worst():
    assert RunReport(()).exit_code == 0
    assert RunReport((StageReport("clean", (Outcome("clean", "1", DONE),)),)).exit_code == 0
    bad = StageReport("stack", (Outcome("stack", "1", FAILED),))
    assert RunReport((StageReport("clean", (Outcome("clean", "1", DONE),)), bad)).exit_code == 3


def test_the_memory_of_children_is_counted(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.01)
    code = "x = b'x' * 300_000_000; print(1, flush=True); input()"
    with peak_memory() as alone:
        pass
    with (
        peak_memory() as peak,
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
    ):
        child.stdout.readline()
        wait_until(lambda: peak[0] > alone[0] + 0.29, 20, "it is not counted")
        child.communicate("\n")
    assert peak[0] < alone[0] + 1.0
