"""Running a plan: every ending is recorded, none stops the others, and what hangs on a bad job says so."""

from __future__ import annotations

import json

import pytest

from nirfire.errors import DataError
from nirfire.pipeline.jobs import BLOCKED, DATA_ERROR, DONE, FAILED, NO_WORK, SKIPPED, worst
from nirfire.pipeline.ledger import Ledger
from nirfire.products.provenance import read_fingerprint

from .toy import Field, Inline, statuses, those

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def field(tmp_path):
    return Field(tmp_path)


def fingerprint(field, source, name):
    return read_fingerprint(field.place.source_folder(source) / f"{name}.fits")


def test_a_whole_run_and_a_second_one_that_does_nothing(field):
    ended = field.run()
    assert set(statuses(ended).values()) == {DONE}
    assert len(ended) == 3 + 6 + 2 + 2 + 2
    assert worst(ended.values()) == 0
    files = {path: path.stat().st_mtime_ns for path in field.place.folder.rglob("*.fits")}
    again = field.run(make=lambda: pytest.fail("an executor was made for nothing"))
    assert set(statuses(again).values()) == {SKIPPED}
    assert {path: path.stat().st_mtime_ns for path in field.place.folder.rglob("*.fits")} == files


def test_jobs_earlier_in_the_recipe_go_first_and_none_before_its_inputs(field):
    order = list(field.run())
    place = {name: k for k, name in enumerate(order)}
    assert order[0].startswith("clean")
    for s in field.sources:
        assert max(place[f"calibrate {e} {s}"] for e in field.exposures) < place[f"nodsub {s}"] < place[f"stack {s}"]


def test_every_ending_is_recorded_and_none_stops_the_others(tmp_path):
    field = Field(tmp_path, exposures=(1, 2, 3, 4, 5, 6))
    field.will(clean_1="no-work", clean_2="data-error", clean_3="failed", clean_4="exit", clean_5="full")
    ended = field.run()
    found = [ended[f"clean {e}"].status for e in field.exposures]
    assert found == [NO_WORK, DATA_ERROR, FAILED, DATA_ERROR, FAILED, DONE]
    assert worst(ended.values()) == 3
    assert "key: DEC_REF" in ended["clean 2"].reason
    assert "remedy: set it" in ended["clean 2"].reason
    assert ended["clean 3"].reason == "ZeroDivisionError: a bug"
    assert "No space left" in ended["clean 5"].reason
    assert "remedy: check free space" in ended["clean 5"].reason
    log = field.place.folder / ended["clean 3"].log
    assert log == field.place.logs / "clean" / "3.log"
    assert "ZeroDivisionError: a bug" in log.read_text()
    latest = Ledger.open(field.place, read_only=True).latest
    assert {f"{o.task} {o.key}": o.status for o in latest.values()} == statuses(ended)
    lines = (field.place.events / "run1.jsonl").read_text().splitlines()
    told = {f"{e['task']} {e['key']}": e["status"] for e in map(json.loads, lines) if e["event"] == "end"}
    assert told == statuses(ended)


def test_what_hangs_on_a_failed_job_is_blocked_and_says_so(field):
    field.will(stack_7="failed")
    ended = field.run()
    assert ended["redshift 7"].status == BLOCKED
    assert ended["redshift 7"].reason == "stack 7 did not succeed"
    assert those(statuses(ended), DONE) == set(ended) - {"stack 7", "redshift 7"}
    assert worst(ended.values()) == 3
    field.will()
    again = field.run()
    assert those(statuses(again), DONE) == {"stack 7", "redshift 7"}


def test_blocked_jobs_name_what_was_not_run(field):
    ended = field.run(chosen=lambda job: job.stage == "redshift")
    assert ended["redshift 7"].status == BLOCKED
    assert ended["redshift 7"].reason == "stack 7 has not been run"
    field.raw(1).unlink()
    ended = field.run()
    assert (ended["clean 1"].status, ended["clean 1"].reason) == (BLOCKED, "raw1.fits is not there")
    assert ended["clean 2"].status == DONE


def test_gathering_goes_on_without_a_failed_input_and_is_redone_when_it_comes(field):
    field.will(clean_2="failed")
    ended = field.run()
    assert ended["calibrate 2 7"].status == BLOCKED
    assert {ended[f"{stage} 7"].status for stage in ("nodsub", "stack", "redshift")} == {DONE}
    assert not (field.place.source_folder(7) / "sub2.fits").exists()
    for name in ("sub1", "stack", "zfit"):
        assert fingerprint(field, 7, name).endswith("~"), f"{name} is incomplete, or made from what is"
    assert field.states()["stack 7"] == DONE
    unchanged = field.run()
    assert those(statuses(unchanged), DONE) == set(), "while it fails, nothing is made twice"
    field.will()
    ended = field.run()
    late = {"clean 2", "calibrate 2 7", "calibrate 2 8"}
    late |= {f"{stage} {s}" for stage in ("nodsub", "stack", "redshift") for s in (7, 8)}
    assert those(statuses(ended), DONE) == late
    assert set(field.states().values()) == {DONE}
    assert not any(fingerprint(field, s, n).endswith("~") for s in (7, 8) for n in ("sub1", "sub2", "stack", "zfit"))


def test_a_product_made_in_part_says_of_how_many(field):
    field.will(calibrate_2_7="failed")
    field.run()
    plan = field.plan()
    reasons = {" ".join(job.id): state.reason for job, state in zip(plan.jobs, plan.states, strict=True)}
    assert reasons["nodsub 7"] == reasons["stack 7"] == "made from 2 of 3 inputs"
    assert "in part" in reasons["redshift 7"]
    assert reasons["stack 8"] == ""


def test_no_work_propagates_and_is_known_the_next_time(field):
    field.will(nodsub_7="no-work")
    ended = field.run()
    assert those(statuses(ended), NO_WORK) == {"nodsub 7", "stack 7", "redshift 7"}
    assert ended["redshift 7"].reason == "nothing to do here"
    assert worst(ended.values()) == 0
    again = field.run(make=lambda: pytest.fail("there is nothing to run"))
    assert set(statuses(again).values()) == {SKIPPED}
    assert again["redshift 7"].reason == "nothing to do here"


def test_one_input_without_work_leaves_a_complete_product(field):
    field.will(calibrate_2_7="no-work")
    ended = field.run()
    assert those(statuses(ended), NO_WORK) == {"calibrate 2 7"}
    assert not fingerprint(field, 7, "stack").endswith("~")
    assert those(field.states(), DONE) == set(ended) - {"calibrate 2 7"}
    assert field.plan().states[-2].reason == ""


def test_no_work_removes_what_was_made_earlier(field):
    field.run()
    folder = field.place.source_folder(7)
    assert len(list(folder.glob("*.fits"))) == 8
    field.clean_with(3)
    field.will(nodsub_7="no-work")
    field.run(rerun="stale")
    assert sorted(path.name for path in folder.glob("*.fits")) == ["cal1.fits", "cal2.fits", "cal3.fits"]
    assert len(list(field.place.source_folder(8).glob("*.fits"))) == 8


def test_an_output_whose_input_has_no_work_any_more_is_removed(field):
    """Else the stack would go on using the cutout of a nod that is not there any more."""
    field.run()
    field.stuck[2, 7] = (1, 2, 3)
    field.will(calibrate_2_7="no-work")
    ended = field.run(rerun="stale")
    assert those(statuses(ended), NO_WORK) == {"calibrate 2 7"}
    assert those(statuses(ended), DONE) == {"nodsub 7", "stack 7", "redshift 7"}
    assert not (field.place.source_folder(7) / "sub2.fits").exists()
    assert not those(field.states(), "stale", "to do")


def test_done_without_a_product_is_a_failure(field):
    field.will(clean_1="nothing")
    ended = field.run()
    assert (ended["clean 1"].status, ended["clean 1"].reason) == (FAILED, "it left no rate1.fits")
    assert ended["calibrate 1 7"].status == BLOCKED


def test_a_failed_new_try_keeps_what_was_made_earlier_and_mixes_nothing(field):
    field.run()
    before = fingerprint(field, 7, "sub1")
    field.clean_with(3)
    field.will(clean_2="failed")
    ended = field.run(rerun="stale")
    assert ended["calibrate 1 7"].status == DONE
    assert ended["calibrate 2 7"].reason == "clean 2 did not succeed; what was made earlier is kept"
    assert {ended[f"{stage} 7"].status for stage in ("nodsub", "stack", "redshift")} == {BLOCKED}
    assert fingerprint(field, 7, "sub1") == before
    field.will()
    field.run(rerun="stale")
    assert set(field.states().values()) == {DONE}


def test_products_that_were_replaced_in_part_are_redone_by_a_plain_run(field):
    """As after kill -9 in the middle of a job with several products."""
    field.run()
    field.clean_with(3)
    field.will(**{"nodsub_7_1": "failed"})  # after the first of its three products
    ended = field.run(rerun="stale")
    assert ended["nodsub 7"].status == FAILED
    field.will()
    assert field.states()["nodsub 7"] == "to do"
    assert field.run()["nodsub 7"].status == DONE


def test_a_lost_job_is_tried_once_again_then_failed(field):
    executor = Inline()
    executor.lost = {("clean", "1"): 1, ("clean", "2"): 2}
    ended = field.run(make=lambda: executor)
    assert ended["clean 1"].status == DONE
    assert ended["clean 2"].status == FAILED
    assert ended["clean 2"].reason == "its worker was killed by SIGKILL (twice)"
    assert ended["clean 3"].status == DONE
    assert executor.closed == [False]
    events = [json.loads(line) for line in (field.place.events / "run1.jsonl").read_text().splitlines()]
    assert sorted(e["key"] for e in events if e["event"] == "lost") == ["1", "2", "2"]


def test_only_what_is_chosen_is_run(field):
    ended = field.run(chosen=lambda job: job.source in (None, 7) and job.stage != "redshift")
    assert set(ended) == {
        *(f"clean {e}" for e in (1, 2, 3)),
        *(f"calibrate {e} 7" for e in (1, 2, 3)),
        "nodsub 7",
        "stack 7",
    }


def test_overwrite_redoes_all_that_is_chosen(field):
    field.run()
    ended = field.run(overwrite=True, chosen=lambda job: job.source == 8)
    assert set(statuses(ended).values()) == {DONE}
    assert set(ended) == {f"calibrate {e} 8" for e in (1, 2, 3)} | {"nodsub 8", "stack 8", "redshift 8"}


def test_an_error_of_the_machinery_kills_the_workers_and_keeps_the_records(field):
    class Broken(Inline):
        def next(self):
            if len(self.orders) < 2:
                raise DataError("the scheduler of the cluster is gone")
            return super().next()

    executor = Broken()
    with pytest.raises(DataError, match="is gone"):
        field.run(make=lambda: executor)
    assert executor.closed == [True]
    field.run()
    assert set(field.states().values()) == {DONE}


def test_when_every_worker_dies_the_run_gives_up_and_says_so(tmp_path):
    field = Field(tmp_path, exposures=tuple(range(1, 9)))
    dying = Inline()
    dying.lost = {("clean", str(e)): 2 for e in field.exposures}
    with pytest.raises(DataError, match="10 workers died one after the other"):
        field.run(make=lambda: dying)
    assert dying.closed == [True]
