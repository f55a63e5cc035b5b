"""Which jobs a command is about."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nirfire.errors import DataError
from nirfire.pipeline.jobs import Job
from nirfire.pipeline.select import Selection, Shard
from nirfire.pipeline.stages import STAGES, TASKS

SOURCES, EXPOSURES, GRATINGS = (3, 5, 7, 11), ("jw1_nrs1", "jw1_nrs2", "jw2_nrs1"), ("PRISM", "G395M")


def all_jobs():
    jobs = []
    for grating in GRATINGS:
        for exposure in EXPOSURES:
            for stage in ("detector", "clean"):
                jobs.append(Job(TASKS[stage], f"{exposure} {grating}", {}, exposure=exposure, grating=grating))
            for source in SOURCES:
                key = f"{exposure} {grating} {source}"
                jobs.append(Job(TASKS["calibrate"], key, {}, source=source, exposure=exposure, grating=grating))
        for source in SOURCES:
            for stage in ("nodsub", "stack", "extract", "redshift"):
                jobs.append(Job(TASKS[stage], f"{source} {grating}", {}, source=source, grating=grating))
    return sorted(jobs, key=lambda job: STAGES.index(job.stage))


JOBS = all_jobs()


def chosen(**keys):
    return [JOBS[k] for k in Selection(**keys).choose(JOBS)]


def test_everything_by_default():
    assert chosen() == JOBS


@pytest.mark.parametrize(
    ("first", "last", "stages"),
    [
        ("detector", "clean", {"detector", "clean"}),
        ("stack", "redshift", {"stack", "extract", "redshift"}),
        ("clean", "clean", {"clean"}),
    ],
)
def test_from_and_to(first, last, stages):
    assert chosen(first=first, last=last) == [job for job in JOBS if job.stage in stages]


def test_a_grating_narrows_every_stage():
    found = chosen(gratings=frozenset({"PRISM"}))
    assert found == [job for job in JOBS if job.grating == "PRISM"]


def test_a_source_narrows_all_that_is_about_sources():
    found = chosen(sources=frozenset({5, 11}), first="calibrate")
    assert found == [job for job in JOBS if job.source in (5, 11)]


@pytest.mark.parametrize("stages", [("detector", "clean"), ("calibrate", "redshift"), ("stack", "extract")])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_partition_the_jobs(stages, count):
    whole = chosen(first=stages[0], last=stages[1])
    parts = [chosen(first=stages[0], last=stages[1], shard=Shard(k, count)) for k in range(1, count + 1)]
    assert Counter(job.id for part in parts for job in part) == Counter(job.id for job in whole)
    for part in parts:
        mine = {job.source for job in part} if stages[0] != "detector" else {job.exposure for job in part}
        others = [job for other in parts if other is not part for job in other]
        assert not mine & {job.source if stages[0] != "detector" else job.exposure for job in others}


def test_a_shard_of_a_selection_is_that_of_the_whole():
    """So that a source is always worked on by the same part."""
    narrow = chosen(first="calibrate", sources=frozenset({7}), shard=Shard(1, 2))
    wide = chosen(first="calibrate", shard=Shard(1, 2))
    assert narrow == [job for job in wide if job.source == 7]


def test_a_shard_of_exposures_and_sources_is_refused():
    with pytest.raises(DataError, match="looks at all exposures") as caught:
        Selection(shard=Shard(1, 2))
    assert "--to clean" in str(caught.value)
    assert "--from calibrate" in str(caught.value)


@pytest.mark.parametrize("text", ["3/2", "0/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_a_wrong_shard_is_refused(text):
    with pytest.raises(DataError, match="is no shard"):
        Shard.parse(text)


def test_a_shard_is_read():
    assert Shard.parse("2/8") == Shard(2, 8)
    assert Shard.parse("2/8").name == "2-of-8"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"first": "polish"}, "no such stage: polish"),
        ({"first": "stack", "last": "clean"}, "stack comes after clean"),
    ],
)
def test_wrong_stages_are_refused(keys, words):
    with pytest.raises(DataError, match=words):
        Selection(**keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sources": frozenset({5, 99})}, "not in this observation: 99"),
        ({"gratings": frozenset({"G140H"})}, "not in this observation: G140H"),
    ],
)
def test_what_is_in_no_job_is_refused_with_what_there_is(keys, words):
    with pytest.raises(DataError, match=words) as caught:
        chosen(**keys)
    assert "it has" in str(caught.value)
    assert "7" in str(caught.value) or "PRISM" in str(caught.value)


def test_stages_that_adopt_cutouts_belong_to_sources():
    job = Job(TASKS["adopt"], "x", {}, outputs=(Path("y"),), source=3, exposure="jw1_nrs1", grating="PRISM")
    jobs = [*JOBS, job]
    parts = [Selection("calibrate", shard=Shard(k, 2)).choose(jobs) for k in (1, 2)]
    mine = next(part for part in parts if len(jobs) - 1 in part)
    assert all(k in mine for k, other in enumerate(JOBS) if other.source == 3 and other.stage in STAGES[2:])
