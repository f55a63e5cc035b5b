"""`mask`: what is said, where masks go, what becomes stale, and that pixels are masked and freed again."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

from nirfire.cli import app
from nirfire.core.background import Sky
from nirfire.errors import DataError
from nirfire.pipeline.jobs import DONE
from nirfire.pipeline.ledger import Ledger
from nirfire.pipeline.run import look_at
from nirfire.pipeline.select import Selection
from nirfire.pipeline.stale import roots, why
from nirfire.products.naming import RATE, RATERAW, SUGGESTED, ExposureName
from nirfire.products.regions import mask_of_regions, read_region_file
from nirfire.stsci.traces import TraceMasks
from nirfire.tasks import clean as clean_task
from nirfire.tasks.settings import CleanSettings

from ..pipeline.survey import CARDS, ROOT, Bench, write_metafile
from ..pipeline.toy import descendants, those

pytestmark = pytest.mark.usefixtures("quick_disk")
FIRST, SECOND = f"{ROOT}_00001_nrs1", f"{ROOT}_00002_nrs1"
SHAPE = (2048, 2048)
CIRCLES = """# Region file format: DS9 version 4.1
global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 include=1 source=1
image
circle(400,300,20.5) # color=red text={short}
-circle(400,300,4.5)
"""
PIXELS = sum(4.5**2 < x * x + y * y < 20.5**2 for x in range(-21, 22) for y in range(-21, 22))
TOML = f'[ws]\nfield = "EGS"\nprogram = "ceers"\ndata_subdir = "raw"\nfiles = ["{ROOT}*"]\n'


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


@pytest.fixture
def regions(tmp_path):
    path = tmp_path / "short.reg"
    path.write_text(CIRCLES)
    return path


@pytest.fixture
def do(bench):
    """Run `mask ...` on the bench; gives its exit code and all it said, in one line."""

    def run(command, *arguments, target=None):
        place = [] if command == "validate" else ["-w", bench.folder / "ws"]
        first = [] if command == "validate" else [target or bench.raw]
        done = CliRunner().invoke(app, ["mask", command, *map(str, [*first, *arguments, *place])])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, re.sub(r"[\s│┃]+", " ", done.output)

    return run


def look(bench):
    return look_at(bench.observation, Ledger.open(bench.place, read_only=True), Selection()).plan


def states(bench):
    plan = look(bench)
    return {" ".join(job.id): state.status for job, state in zip(plan.jobs, plan.states, strict=True)}


def regions_of(bench, exposure):
    """The regions that the cleaning of an exposure is given."""
    return next(job.arguments.get("regions", "") for job in look(bench).jobs if job.id == ("clean", exposure))


def test_validate_checks_every_file_before_it_complains(do, tmp_path, regions):
    code, said = do("validate", regions)
    assert code == 0 and f"{regions} 2 {PIXELS}" in said
    for name, text in (("typo", "image\ncirle(9,9,2)"), ("sky", 'fk5\ncircle(214.9,52.9,1")'), ("empty", "# none")):
        (tmp_path / f"{name}.reg").write_text(text)
    names = [tmp_path / f"{name}.reg" for name in ("typo", "sky", "empty", "absent")]
    code, said = do("validate", *names, regions)
    assert code == 2
    assert f"{regions} 2 {PIXELS}" in said, "the last one is still checked"
    for name, wanted in zip(
        names, ("line 2: cirle(9,9,2)", "not on the sky", "no region", "no such region file"), strict=True
    ):
        assert wanted in said and f"file: {name}" in said
    assert "did you mean circle?" in said and "remedy: " in said


def test_a_mask_is_applied_listed_and_cleared(bench, do, regions):
    bench.run()
    code, said = do("apply", FIRST, regions)
    assert code == 0
    assert f"{FIRST}: 2 regions, {PIXELS} pixels" in said
    plan = look(bench)
    hit = descendants(plan.jobs, lambda job: job.id == ("clean", FIRST))
    assert those(states(bench), "stale") == hit, "exactly what rests on this exposure"
    stages = "1 clean, 1 shutters, 3 calibrate, 3 nodsub, 1 offsets, 3 extract, 3 redshift"
    assert f"stale: {stages}, of sources 101, 103, 105" in said
    assert f"nirfire run {bench.place.folder} --rerun stale" in said
    (begin,) = roots(plan, range(len(plan.jobs)))
    assert why(plan, begin).startswith("arguments regions none -> ")
    assert those({f"{o.task} {o.key}": o.status for o in bench.run(rerun="stale").outcomes}, DONE) == hit
    assert "nothing is stale" in do("apply", FIRST, regions)[1]
    code, said = do("list")
    assert f"{FIRST} 2 {PIXELS} {bench.place.mask(ExposureName(FIRST))}" in said
    code, said = do("list", target=bench.place.folder)
    assert code == 0 and FIRST in said, "the workspace serves as well"
    code, said = do("clear", FIRST)
    assert code == 0 and "stale: 1 clean" in said
    assert those(states(bench), "stale") == hit
    assert "no masks" in do("list")[1]
    assert "no mask to remove" in do("clear", FIRST)[1]


def test_colours_and_labels_make_nothing_stale(bench, do, regions):
    do("apply", FIRST, regions)
    bench.run()
    regions.write_text(CIRCLES.replace("red", "blue").replace("green", "cyan").replace("{short}", "{glow}"))
    code, said = do("apply", FIRST, regions)
    assert (code, set(states(bench).values())) == (0, {DONE})
    assert "as before" in said and "nothing is stale" in said


def test_what_ds9_wrote_is_kept_and_applied_again_masks_the_same(bench, do, regions):
    do("apply", FIRST, regions)
    kept = bench.place.mask(ExposureName(FIRST))
    assert kept.read_text() == CIRCLES, "colours and labels too, for DS9"
    do("apply", SECOND, kept)
    masks = [mask_of_regions(read_region_file(p), SHAPE) for p in (regions, kept)]
    masks += [mask_of_regions(regions_of(bench, name), SHAPE) for name in (FIRST, SECOND)]
    assert masks[0].sum() == PIXELS
    assert all(np.array_equal(masks[0], other) for other in masks[1:])


def test_a_mask_before_the_first_run_is_used_by_it(bench, do, regions):
    assert "nothing is stale" in do("apply", f"{FIRST}_rate.fits", regions)[1]
    bench.run()
    assert set(states(bench).values()) == {DONE}
    assert regions_of(bench, FIRST) and not regions_of(bench, SECOND)


def test_exposures_that_do_not_exist(bench, do, regions):
    for named in (f"{ROOT}_00007_nrs1", "jw01345", FIRST.replace("nrs1", "nrs2")):
        with pytest.raises(DataError) as caught:
            do("apply", named, regions)
        assert named in str(caught.value) and FIRST in caught.value.remedy
    assert not bench.place.masks.exists()
    with pytest.raises(DataError, match="give --all"):
        do("clear")


def test_regions_that_cannot_be_used_change_nothing(bench, do, regions):
    do("apply", FIRST, regions)
    regions.write_text("image\ncircle(400,300,20)\ncircle(4000,300,20)\n")
    with pytest.raises(DataError, match="line 3") as caught:
        do("apply", FIRST, regions)
    assert caught.value.file == regions and caught.value.remedy
    assert bench.place.mask(ExposureName(FIRST)).read_text() == CIRCLES


def test_exposures_that_came_in_cleaned_cannot_be_masked(bench, do, regions):
    header = fits.Header(CARDS | {"DETECTOR": "NRS1", "NFVSCALE": 1.0})
    fits.PrimaryHDU(header=header).writeto(bench.raw / f"{FIRST}{RATE}")
    with pytest.raises(DataError, match="came in cleaned"):
        do("apply", FIRST, regions)


def test_masks_of_both_places_add_up(bench, do, regions):
    bench.raw = bench.folder / "observations.toml"
    text = f"{TOML}[ws.masks]  # drawn in 2025\n{FIRST} = 'box(400,300,4,60,0)'\n"
    bench.raw.write_text(text)
    code, said = do("apply", FIRST, regions)
    assert code == 0 and f"added to its mask in {bench.raw}" in said
    assert bench.raw.read_text() == text, "never edited"
    found = mask_of_regions(regions_of(bench, FIRST), SHAPE)
    assert np.array_equal(found, mask_of_regions(CIRCLES, SHAPE) | mask_of_regions("box(400,300,4,60,0)", SHAPE))
    assert found[299, 399], "what one takes out the other masks"
    code, said = do("list")
    assert f"{FIRST} 1 177 {bench.raw}" in said and f"{FIRST} 2 {PIXELS}" in said
    code, said = do("clear", FIRST)
    assert code == 0 and "has a mask in observations.toml" in said
    assert regions_of(bench, FIRST) == "box(400,300,4,60,0)"
    with pytest.raises(DataError, match="not edited") as caught:
        do("clear", FIRST)
    assert caught.value.remedy == "remove that line" and caught.value.key == f"ws.masks.{FIRST}"


def test_clear_all_and_files_that_belong_to_no_exposure(bench, do, regions):
    for name in (FIRST, SECOND):
        do("apply", name, regions)
    stray = bench.place.masks / "ds9.reg"
    stray.write_text("cirle(1,1,1)")
    code, said = do("list")
    assert code == 2
    assert "ds9 (not among the exposures) unusable" in said and "did you mean circle?" in said
    notes = look_at(bench.observation, Ledger.open(bench.place, read_only=True), Selection()).notes
    assert notes == ["mask for ds9, which is not among the exposures"]
    code, said = do("clear", "--all")
    assert code == 0 and said.count("removed") == 3
    assert list(bench.place.masks.iterdir()) == []


@pytest.fixture
def rate_of_noise(bench):
    """Writes a count-rate image of noise, with a glow when wanted."""

    def write(name, suffix, peak=0.0, **planes):
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
        sci = np.random.default_rng(1).normal(0, 0.02, SHAPE).astype(np.float32)
        sci += np.float32(peak * 0.02) * np.exp(-0.5 * ((y - 500) ** 2 + (x - 1200) ** 2) / 30**2)
        images = {"SCI": sci, "ERR": np.full(SHAPE, 0.02, np.float32), "DQ": np.zeros(SHAPE, np.uint32), **planes}
        images |= {name: np.full(SHAPE, 2e-4, np.float32) for name in ("VAR_POISSON", "VAR_RNOISE")}
        images["DQ"][295:305, 395:398] = 1
        path = bench.place.exposure(ExposureName(name), suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        hdus = [fits.PrimaryHDU(header=fits.Header(CARDS | {"DETECTOR": "NRS1"}))]
        hdus += [fits.ImageHDU(v, name=k) for k, v in images.items()]
        fits.HDUList(hdus).writeto(path, overwrite=True)
        return path

    return write


def test_masked_pixels_are_not_used_and_are_freed_again(bench, do, regions, rate_of_noise, monkeypatch):
    none = np.zeros(SHAPE, bool)
    monkeypatch.setattr(clean_task, "trace_masks", lambda *_: TraceMasks(none, none, none, []))
    settings = CleanSettings(
        mode="iterative", n_iter=1, picture_frame=False, surface=False, columns=True, rows=False, noise="off"
    )
    raw = rate_of_noise(FIRST, RATERAW)
    write_metafile(raw.parent, [101])
    out = bench.place.exposure(ExposureName(FIRST), RATE)

    def cleaned():
        clean_task.clean(raw, out, settings, regions=regions_of(bench, FIRST))
        with fits.open(out) as hdus:
            return hdus["DQ"].data & 1 > 0, hdus["BKGMASK"].data & Sky.MANUAL > 0

    bad, _ = cleaned()
    assert bad.sum() == 30
    do("apply", FIRST, regions)
    wanted = mask_of_regions(CIRCLES, SHAPE)
    unused, manual = cleaned()
    assert np.array_equal(unused, wanted | bad) and np.array_equal(manual, wanted & ~bad)
    do("clear", FIRST)
    again, manual = cleaned()
    assert np.array_equal(again, bad) and not manual.any()


def test_suggestions_are_listed_and_written_but_not_applied(bench, do, rate_of_noise):
    with pytest.raises(DataError, match="no exposure is cleaned yet") as caught:
        do("suggest")
    assert caught.value.remedy == f"nirfire run {bench.raw} --to clean"
    rate_of_noise(FIRST, RATE, peak=1.0, BKGMASK=np.full(SHAPE, Sky.FITTED, np.uint8))
    code, said = do("suggest")
    assert code == 0
    assert f"{SECOND}: not cleaned yet" in said
    assert "1 suggestions in 1 exposures; none is applied" in said
    file = bench.place.mask(ExposureName(FIRST), SUGGESTED)
    assert f"regions: {file}" in said
    assert regions_of(bench, FIRST) == "" and "no masks" in do("list")[1]
    code, said = do("apply", FIRST, file)
    assert code == 0
    masked = mask_of_regions(regions_of(bench, FIRST), SHAPE)
    assert masked[500, 1200] and masked[470:530, 1170:1230].all() and masked.sum() < 250**2
    rate_of_noise(FIRST, RATE, BKGMASK=np.full(SHAPE, Sky.FITTED, np.uint8))
    assert "0 suggestions" in do("suggest", FIRST)[1]
    assert not file.exists(), "of an image that has no glow any more"
