"""The stock pipeline reads what `Metafile.for_source` writes, and opens the slit that is meant."""

import json
from pathlib import Path

import numpy as np
import pytest

from nirfire.products.msa import Metafile, SourceOptions
from nirfire.products.msa_repair import repaired
from tests.forked import run_forked
from tests.products.msa_tables import catalogue, field, nodded, row, write

PROBE = Path(__file__).with_name("msa_stock_probe.py")
END, PITCH = 1.05, 1.15  # beyond the middle of the last shutter, and from shutter to shutter, as stock has it
STUCK = [row(1, c, 11 if c == 50 else 0, primary=c == 50, state="CLOSED" if c == 51 else "OPEN") for c in (49, 50, 51)]
TWO_SLITLETS = [row(k, c, 0, d) for k, c in ((13, 30), (13, 31), (14, 33), (14, 34)) for d in (1, 2, 3)]
TWO_SLITLETS += [row(13, 31, 11, 1, primary=True), row(14, 33, 11, 3, primary=True)]
NO_SOURCE = [r for r in nodded(1, 11) if r[10] < 3] + [row(1, c, 0, 3) for c in (49, 50, 51)]

# name: rows, options, dither point, shutters as stock has them, column of the x, position (x, y) from the centre
CASES = {
    "1 shutter": ([row(1, 50, 11, primary=True)], {}, 1, "x", 50, (-0.1, -0.1)),
    "2 shutters": ([row(1, 50, 11, primary=True), row(1, 51)], {}, 1, "x1", 50, (-0.1, -0.1)),
    "3 shutters": (nodded(1, 11), {}, 1, "1x1", 50, (-0.1, -0.1)),
    "3 shutters, lower": (nodded(1, 11), {}, 2, "x11", 49, (-0.1, -0.1)),
    "3 shutters, upper": (nodded(1, 11), {}, 3, "11x", 51, (-0.1, -0.1)),
    "5 shutters": (nodded(1, 11, range(48, 53)), {}, 2, "1x111", 49, (-0.1, -0.1)),
    "nod without source": (NO_SOURCE, {}, 3, "1x1", 50, None),
    "not primary": ([*nodded(1, 11), row(1, 51, 12, 1, x=0.2)], {"source": 12}, 1, "11x", 51, (-0.3, -0.1)),
    "marked CLOSED": (STUCK, {}, 1, "1x", 50, (-0.1, -0.1)),
    "stuck closed": (nodded(1, 11, range(48, 53)), {"closed": (2,)}, 1, "10x11", 50, (-0.1, -0.1)),
    "stuck closed, source": (nodded(1, 11), {"closed": (2,)}, 1, "1x1", 50, None),
    "two slitlets": (TWO_SLITLETS, {}, 1, "1x011", 31, (-0.1, -0.1)),
    "two slitlets, second": (TWO_SLITLETS, {}, 3, "110x1", 33, (-0.1, -0.1)),
    "pad 1": (nodded(1, 11), {"pad": 1}, 2, "1x111", 49, (-0.1, -0.1)),
    "pad 2": (nodded(1, 11), {"pad": 2}, 2, "10x1101", 49, (-0.1, -0.1)),
    "longest 3": (nodded(1, 11, range(48, 53)), {"longest": 3}, 2, "1x1", 49, (-0.1, -0.1)),
    "longest 3, pad 2": (nodded(1, 11, range(48, 53)), {"longest": 3, "pad": 2}, 2, "101x101", 49, (-0.1, -0.1)),
    "long slit": (nodded(1, 11, range(1, 172)), {"long_slit": True}, 2, "x", 85, (-0.1, -0.1)),
    "measured": (nodded(1, 11), {"position": {1: (0.7, 0.9)}}, 1, "1x1", 50, (0.2, 0.4)),
    "measured, above": (nodded(1, 11), {"position": {1: (0.7, 1.1)}}, 1, "11x", 51, (0.2, -0.4)),
    "measured, outside": (nodded(1, 11), {"position": {1: (1.3, 0.5)}}, 1, "1x1", 50, None),
}
DEFECTS = {
    "two primaries": [*nodded(1, 11), row(1, 51, 12, 1, primary=True)],
    "primary is background": [(*r[:6], "Y", *r[7:]) for r in nodded(1, 11)],
    "primary not first": [row(1, 49, 12, 1, x=0.2), *nodded(1, 11)],
    "source 0": [(*r[:5], 0, *r[6:]) if r[10] == 1 else r for r in nodded(1, 11)],
}


def ask(wanted):
    """Open slits of each (file, configuration, dither point) by the stock pipeline."""
    done = run_forked(PROBE, *(word for triple in wanted for word in triple))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """All answers from one process: jwst is imported once."""
    folder, wanted = tmp_path_factory.mktemp("stock"), {}
    for name, (rows, options, dither, *_) in CASES.items():
        options = dict(options)
        source = options.pop("source", 11)
        path = folder / f"{len(wanted)}_msa.fits"
        Metafile.read(write(path, rows)).for_source(source, 1, SourceOptions(**options)).write(path)
        wanted[name] = (path, 1, dither)
    for name, rows in DEFECTS.items():
        broken, mended = folder / f"{len(wanted)}_msa.fits", folder / f"{len(wanted)}_mended_msa.fits"
        repaired(Metafile.read(write(broken, rows)))[0].write(mended)
        wanted[name], wanted[name, "mended"] = (broken, 1, 1), (mended, 1, 1)
    rows = nodded(1, 11) + field()
    path = folder / "missing_msa.fits"
    metafile = Metafile.read(write(path, rows, catalogue(rows, leave_out=[11])))
    wanted["missing"] = (path, 1, 1)
    mine = folder / "found_msa.fits"
    metafile.for_source(11, 1).write(mine)
    wanted["found"] = (mine, 1, 1)
    return dict(zip(wanted, ask(wanted.values()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_slit(answers, name):
    rows, options, _, shutters, centre, place = CASES[name]
    (number, slit), *more = answers[name].items()
    assert not more and number == str(rows[0][0])
    assert slit["shutter_state"] == shutters
    assert (slit["ycen"], slit["xcen"], slit["quadrant"]) == (centre, 100, 3)
    below, above = shutters.index("x"), len(shutters) - 1 - shutters.index("x")
    np.testing.assert_allclose((slit["ymin"], slit["ymax"]), (-END - PITCH * below, END + PITCH * above), atol=1e-6)
    if place:
        np.testing.assert_allclose((slit["source_xpos"], slit["source_ypos"]), place, atol=1e-6)
        source = options.get("source", 11)
        assert (slit["source_id"], slit["source_name"]) == (source, f"9999_{source}")
        assert slit["stellarity"] == 1 and slit["source_ra"] > 0 and slit["source_dec"] > 0
    else:
        assert slit["source_name"] == "9999_BKG1" and slit["stellarity"] == 0


def test_known_defects_are_defects(answers):
    assert "MSAFileError" in answers["two primaries"]["error"]
    assert "IndexError" in answers["primary is background"]["error"]
    assert answers["source 0"]["1"]["source_ra"] == 0
    wrong = answers["primary not first"]["1"]
    assert wrong["source_id"] == 11 and wrong["ycen"] == 49 and wrong["source_xpos"] == pytest.approx(-0.3)


@pytest.mark.parametrize("name", DEFECTS)
def test_repairs_are_repairs(answers, name):
    mended = answers[name, "mended"]["1"]
    assert (mended["source_id"], mended["ycen"], mended["source_xpos"]) == (11, 50, pytest.approx(-0.1))
    assert mended["source_ra"] > 0


def test_missing_source(answers):
    assert answers["missing"]["1"]["source_ra"] == 0
    assert answers["found"]["1"]["source_ra"] > 359 and answers["found"]["1"]["source_name"] == "9999_11"


@pytest.mark.slow
def test_flight_sources(real_data, tmp_path):
    """Each source of the early-release observation, at each nod: the shutter and position that were planned for it."""
    path = next((real_data / "ero_6355").glob("*_msa.fits"))
    metafile = Metafile.read(path)
    wanted = []
    for source in metafile.source_ids(1):
        metafile.for_source(source, 1).write(tmp_path / f"{source}.fits")
        wanted += [(tmp_path / f"{source}.fits", 1, d) for d in (1, 2, 3)]
    each = ask(wanted)
    rows = metafile.configuration(1)
    for (_, _, dither), slits, source in zip(wanted, each, np.repeat(metafile.source_ids(1), 3), strict=True):
        (slit,) = slits.values()
        own = rows[(rows["source_id"] == source) & (rows["dither_point_index"] == dither) & (rows["background"] == "N")]
        assert slit["source_name"].startswith("2736_" if len(own) else "9999_BKG")
        if len(own):
            assert (slit["ycen"], slit["source_id"]) == (own["shutter_column"][0], source)
            assert slit["source_xpos"] == pytest.approx(own["estimated_source_in_shutter_x"][0] - 0.5, abs=1e-5)


@pytest.mark.slow
def test_flight_metafile_and_its_repair(real_data, tmp_path):
    """Stock misplaces primaries that stand behind another source; in the mended file it does not."""
    path, mended = next((real_data / "ero_6355").glob("*_msa.fits")), tmp_path / "mended_msa.fits"
    metafile = Metafile.read(path)
    repaired(metafile)[0].write(mended)
    points = (1, 2, 3)
    answers = ask([(p, 1, d) for p in (path, mended) for d in points])
    rows = metafile.configuration(1)
    rows = rows[rows["primary_source"] == "Y"]
    wrong = []
    for slits, dither in zip(answers, points * 2, strict=True):
        here = rows[rows["dither_point_index"] == dither]
        wrong.append(sum(slits[str(r["slitlet_id"])]["ycen"] != r["shutter_column"] for r in here))
    assert len(rows) == 187 and wrong == [1, 0, 6, 0, 0, 0]
