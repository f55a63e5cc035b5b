"""Staleness: exactly what hangs on a change is stale, a run redoes exactly that when told to, and it is said why."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from astropy.io import fits

from nirfire.pipeline.jobs import DONE, NO_WORK, SKIPPED
from nirfire.pipeline.stale import roots, why
from nirfire.products.provenance import read_facts, read_fingerprint

from .toy import Field, descendants, statuses, those

pytestmark = pytest.mark.usefixtures("quick_disk")
STALE = "stale"


def setting(field):
    field.clean_with(3)
    return lambda job: job.stage == "clean"


def version(field):
    field.raise_version("nodsub")
    return lambda job: job.stage == "nodsub"


def stuck_entry(field):
    field.stuck[2, 7] = (3,)
    return lambda job: job.id == ("calibrate", "2 7")


def content(field):
    field.raw(3).write_text("exposure three")
    return lambda job: job.id == ("clean", "3")


def context(field):
    field.crds = "jwst_0002.pmap"
    return lambda job: job.task.stock


CHANGES = {
    setting: "settings n_iter 5 -> 3",
    version: "task nodsub 1 -> nodsub 2",
    stuck_entry: "arguments closed [] -> [3]",
    content: "input raw3.fits changed",
    context: "crds jwst_0001.pmap -> jwst_0002.pmap",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A field that was run, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    Field(folder).run()
    return folder


@pytest.fixture
def field(finished, tmp_path):
    """A copy of it, files with the same times, elsewhere: that alone makes nothing stale."""
    shutil.copytree(finished, tmp_path / "copy")
    return Field(tmp_path / "copy")


def reasons(field):
    plan = field.plan()
    return {" ".join(plan.jobs[k].id): why(plan, k) for k in roots(plan, range(len(plan.jobs)))}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_makes_exactly_its_descendants_stale(field, change):
    assert set(field.states().values()) == {DONE}
    first = change(field)
    jobs = field.jobs()
    hit = descendants(jobs, first)
    assert those(field.states(), STALE) == hit
    assert those(field.states(), DONE) == {" ".join(job.id) for job in jobs} - hit
    said = reasons(field)
    assert set(said) == {" ".join(job.id) for job in jobs if first(job)}
    assert set(said.values()) == {CHANGES[change]}
    plain = field.run()
    assert set(statuses(plain).values()) == {SKIPPED}, "a plain run redoes none of them"
    assert those(field.states(), STALE) == hit
    redone = field.run(rerun=STALE)
    assert those(statuses(redone), DONE) == hit, "and this one exactly those"
    assert set(field.states().values()) == {DONE}


def test_a_change_that_is_taken_back_leaves_nothing_stale(field):
    field.clean_with(3)
    assert STALE in field.states().values()
    field.clean_with(5)
    assert set(field.states().values()) == {DONE}


def test_only_the_content_of_a_given_file_counts(field):
    for e in field.exposures:
        os.utime(field.raw(e), (1, 1))
    assert set(field.states().values()) == {DONE}
    text = field.raw(1).read_text()
    field.raw(1).unlink()
    field.raw(1).write_text(text)
    assert set(field.states().values()) == {DONE}


def test_a_missing_given_file_makes_its_descendants_stale_not_wrong(field):
    field.raw(1).unlink()
    assert those(field.states(), STALE) == descendants(field.jobs(), lambda job: job.id == ("clean", "1"))
    ended = field.run(rerun=STALE)
    assert ended["clean 1"].reason == "raw1.fits is not there"
    assert ended["calibrate 1 7"].reason == "clean 1 did not succeed; what was made earlier is kept"


def test_a_removed_product_is_redone_and_what_hangs_on_it_stays(field):
    (field.place.exposures / "rate1.fits").unlink()
    assert those(field.states(), "to do") == {"clean 1"}
    ended = field.run()
    assert those(statuses(ended), DONE) == {"clean 1"}
    assert set(field.states().values()) == {DONE}, "the same product again: nothing is stale"


def test_a_product_made_from_a_stale_one_is_stale_itself(field):
    field.clean_with(3)
    (field.place.source_folder(7) / "zfit.fits").unlink()
    ended = field.run()
    assert those(statuses(ended), DONE) == {"redshift 7"}
    assert field.states()["redshift 7"] == STALE


def test_a_product_of_unknown_making_is_stale_and_is_redone(field):
    path = field.place.source_folder(7) / "stack.fits"
    fits.PrimaryHDU().writeto(path, overwrite=True)
    assert field.states()["stack 7"] == STALE
    assert reasons(field) == {"stack 7": "its product does not say how it was made"}
    field.run(rerun=STALE)
    assert set(field.states().values()) == {DONE}


def test_an_exposure_more_or_less(field):
    more = Field(field.given.parent, exposures=(1, 2, 3, 4))
    new = {"clean 4", *(f"{stage} {s}" for stage in ("calibrate 4", "nodsub") for s in (7, 8))}
    assert those(statuses(more.run()), DONE) == new, "what is missing"
    assert those(more.states(), STALE) == {f"{stage} {s}" for stage in ("stack", "redshift") for s in (7, 8)}
    more.run(rerun=STALE)
    assert set(more.states().values()) == {DONE}
    fewer = Field(field.given.parent, exposures=(1, 2, 3))
    assert those(fewer.states(), STALE) == {f"{stage} {s}" for stage in ("nodsub", "stack", "redshift") for s in (7, 8)}
    assert reasons(fewer)["nodsub 7"] == "input cal4.fits is gone"


def test_a_job_without_work_is_stale_when_what_it_hangs_on_is(tmp_path):
    """A plain run leaves it, as it leaves stale products; its own settings alone give it a new try."""
    field = Field(tmp_path)
    field.will(calibrate_1_7="no-work")
    field.run()
    assert field.states()["calibrate 1 7"] == NO_WORK
    field.clean_with(3)
    assert those(field.states(), STALE) == descendants(field.jobs(), lambda job: job.stage == "clean")
    plan = field.plan()
    k = next(k for k, job in enumerate(plan.jobs) if job.id == ("calibrate", "1 7"))
    assert "nothing to do here" in why(plan, k)
    assert set(statuses(field.run()).values()) == {SKIPPED}
    field.will()
    assert field.run(rerun=STALE)["calibrate 1 7"].status == DONE
    assert set(field.states().values()) == {DONE}


def test_no_work_with_another_argument_is_to_do(tmp_path):
    field = Field(tmp_path)
    field.will(calibrate_1_7="no-work")
    field.run()
    field.stuck[1, 7] = (2,)
    assert field.states()["calibrate 1 7"] == "to do"
    field.will()
    assert field.run()["calibrate 1 7"].status == DONE


def test_facts_in_the_product_are_what_the_fingerprint_is_made_from(field):
    plan = field.plan()
    job = next(job for job in plan.jobs if job.id == ("calibrate", "2 7"))
    facts = read_facts(job.outputs[0])
    rate = field.place.exposures / "rate2.fits"
    assert facts["task"] == "calibrate 1"
    assert facts["arguments"] == {"source": 7, "closed": []}
    assert facts["inputs"] == {"rate2.fits": read_fingerprint(rate)}
    assert facts["settings"] == json.loads(field.config.calibrate.model_dump_json())
    made = plan.actual(job)
    assert json.loads(made.facts) == facts
    assert made.fingerprint == read_fingerprint(job.outputs[0]) == plan.expected[plan.jobs.index(job)]


def test_the_fingerprint_does_not_depend_on_where_things_lie(finished, tmp_path):
    assert Field(tmp_path).plan().expected == Field(finished).plan().expected


def test_counts_and_ancestors(field):
    plan = field.plan()
    assert plan.counts(range(len(plan.jobs)))["calibrate"] == {DONE: 6}
    k = next(k for k, job in enumerate(plan.jobs) if job.id == ("nodsub", "8"))
    wanted = {"clean 1", "clean 2", "clean 3", "calibrate 1 8", "calibrate 2 8", "calibrate 3 8", "nodsub 8"}
    assert {" ".join(plan.jobs[p].id) for p in plan.ancestors([k])} == wanted


def test_looking_reads_no_product_that_has_not_changed(field, monkeypatch):
    field.run()
    monkeypatch.setattr("nirfire.pipeline.shelf.read_fingerprint", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setattr("nirfire.pipeline.shelf._hash", lambda path: pytest.fail(f"{path} was hashed"))
    assert set(field.states().values()) == {DONE}
