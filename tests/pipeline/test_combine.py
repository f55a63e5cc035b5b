"""Jobs that bring exposures together."""

from pathlib import Path

import pytest

from nirfire.pipeline.combine import combine_jobs, offsets_jobs
from nirfire.pipeline.groups import Slit, make_groups
from nirfire.pipeline.special import Special
from nirfire.products.naming import ExposureName, Workspace
from nirfire.tasks.settings import SourceShape

VISIT = "jw01345062001"


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, "egs")


def slit(activity="03101", exposure=1, detector="nrs1", source=7, grating="PRISM", dither=""):
    name = ExposureName(f"{VISIT}_{activity}_{exposure:05d}_{detector}")
    stem = f"{name}_{source}_cal"
    group = f"{VISIT}_{activity}{dither} {detector}"
    filter_ = "CLEAR" if grating == "PRISM" else "F290LP"
    return Slit(name, Path(f"{stem}.fits"), Path(f"{stem}_bkgsub.fits"), group, grating, filter_)


def nods(source=7, activity="03101", grating="PRISM", detectors=("nrs1",), dither=""):
    return [slit(activity, k, d, source, grating, dither) for d in detectors for k in (1, 2, 3)]


def groups(slits, source=7, lists=None):
    return make_groups(source, slits, lists or {})


def jobs_of(jobs, stage):
    return [job for job in jobs if job.stage == stage]


def test_model_needs_no_stack(workspace):
    jobs = combine_jobs(7, groups(nods(detectors=("nrs1", "nrs2"))), workspace, Special())
    assert [job.stage for job in jobs] == ["extract", "redshift"]
    extract, redshift = jobs
    assert extract.task.call == "nirfire.tasks.extract:extract"
    assert len(extract.gathered) == 6
    assert extract.arguments["spec"] == extract.outputs[0] == redshift.inputs[0]
    assert extract.arguments["source"] == extract.facts["source"] == 7
    assert extract.asks == (workspace.offsets(f"{VISIT}_03101"),)


def test_horne_is_from_stacks_one_for_each_group(workspace):
    two = nods() + nods(activity="05101")
    jobs = combine_jobs(7, groups(two), workspace, Special(method="horne"))
    assert [job.stage for job in jobs] == ["stack", "stack", "stack", "extract", "redshift"]
    whole, *parts, extract, _ = jobs
    assert len(whole.gathered) == 6
    assert [len(part.gathered) for part in parts] == [3, 3]
    assert len({job.outputs[0] for job in jobs[:3]}) == 3
    assert len({job.id for job in jobs}) == len(jobs)
    assert extract.task.call == "nirfire.tasks.horne:horne"
    assert extract.arguments["s2ds"] == [whole.outputs[0]]
    assert extract.inputs == (whole.outputs[0],)
    assert extract.gathered == (*whole.gathered, *(part.outputs[0] for part in parts))  # those that could be made
    assert extract.asks == ()


def test_detectors_are_of_one_group(workspace):
    jobs = combine_jobs(7, groups(nods(detectors=("nrs1", "nrs2"))), workspace, Special(method="horne"))
    assert [job.stage for job in jobs] == ["stack", "extract", "redshift"]


def test_sub_dithers_are_groups(workspace):
    both = nods() + [slit(exposure=k, dither="_dither2") for k in (4, 5, 6)]
    jobs = combine_jobs(7, groups(both), workspace, Special(method="horne"))
    assert [len(job.gathered) for job in jobs_of(jobs, "stack")] == [6, 3, 3]


def test_gratings_are_joined(workspace):
    both = nods() + nods(activity="07101", grating="G395M")
    jobs = combine_jobs(7, groups(both), workspace, Special())
    assert [job.stage for job in jobs] == ["extract", "redshift", "extract", "redshift", "join", "agree"]
    *_, join, agree = jobs
    assert join.gathered == tuple(job.outputs[0] for job in jobs_of(jobs, "extract"))
    assert join.outputs == (workspace.joint(7),)
    assert join.arguments == {"joined": workspace.joint(7)}
    assert agree.gathered == tuple(job.outputs[0] for job in jobs_of(jobs, "redshift"))
    assert agree.arguments == {"agreed": workspace.joint_zfit(7)}
    assert agree.outputs == (workspace.joint_zfit(7),)
    asks = [job.asks for job in jobs_of(jobs, "extract")]
    assert sorted(asks) == [(workspace.offsets(f"{VISIT}_{a}"),) for a in ("03101", "07101")]


def test_what_was_of_several_gratings_goes_when_there_is_one(workspace):
    *_, redshift = combine_jobs(7, groups(nods()), workspace, Special())
    assert set(redshift.dropped) == {workspace.joint(7), workspace.joint_zfit(7)}


def test_what_people_say_of_a_source_is_a_fact_of_its_job_alone(workspace):
    special = Special(shapes={7: SourceShape(offset=0.1, fit=False)}, photometry=Path("phot.ecsv"))
    mine, other = (jobs_of(combine_jobs(s, groups(nods(s), s), workspace, special), "extract")[0] for s in (7, 8))
    assert mine.facts["shape"] == mine.arguments["shape"]
    assert (mine.facts["shape"]["offset"], mine.facts["shape"]["fit"]) == (0.1, False)
    assert SourceShape.model_validate(mine.facts["shape"]) == special.shapes[7]
    assert "shape" not in other.arguments
    for job in (mine, other):
        assert job.arguments["photometry"] == Path("phot.ecsv")
        assert Path("phot.ecsv") in job.inputs


def test_nods_that_are_left_out_are_not_used(workspace):
    found = groups(nods())
    without = [type(g)(g.name, g.grating, g.science[:2], g.others, g.science[2:], g.allowed) for g in found]
    (extract,) = jobs_of(combine_jobs(7, without, workspace, Special()), "extract")
    assert [path.name for path in extract.gathered] == [s.bkgsub.name for s in found[0].science[:2]]


def test_a_source_without_nods_still_has_its_jobs(workspace):
    """So that products of an earlier plan are known to be stale."""
    empty = [type(g)(g.name, g.grating, (), (), g.science, g.allowed) for g in groups(nods())]
    jobs = combine_jobs(7, empty, workspace, Special())
    assert [job.stage for job in jobs] == ["extract", "redshift"]
    assert jobs[0].gathered == ()


def test_one_offset_for_each_visit_and_activity(workspace):
    both = {s: groups(nods(s) + nods(s, "05101"), s) for s in (7, 8)}
    jobs = offsets_jobs(both, workspace, Special())
    assert [job.key for job in jobs] == [f"{VISIT}_03101", f"{VISIT}_05101"]
    for job in jobs:
        assert len(job.gathered) == 6
        assert {path.name.split("_")[4] for path in job.gathered} == {"7", "8"}
        assert job.outputs == (workspace.offsets(job.key),)
        assert job.arguments == {"table": job.outputs[0]}
    assert len(set(offsets_jobs(both, workspace, Special())[0].gathered)) == 6


def test_horne_asks_for_no_offsets(workspace):
    assert offsets_jobs({7: groups(nods())}, workspace, Special(method="horne")) == []


def test_extraction_asks_only_for_offsets_that_a_job_makes(workspace):
    source = groups(nods() + nods(activity="05101") + nods(activity="07101", grating="G395M"))
    made = {job.outputs[0] for job in offsets_jobs({7: source}, workspace, Special())}
    for job in jobs_of(combine_jobs(7, source, workspace, Special()), "extract"):
        assert job.asks
        assert set(job.asks) <= made
