"""What the page reckons itself: edits of shutters and nods, redshifts of one grating among several; run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import nirfire.inspect

STATIC = Path(nirfire.inspect.__file__).parent / "static"
SLIT = {"by_hand": False, "closed": [3], "found": [3]}
NODS = [
    {
        "nod": k,
        "together": [1, 2, 3],
        "usual": [j for j in (1, 2, 3) if j != k],
        "backgrounds": [j for j in (1, 2, 3) if j != k],
        "left_out": False,
        "left_out_for_all": False,
        "background_only": False,
    }
    for k in (1, 2, 3)
]


@pytest.fixture(scope="module")
def run():
    """Evaluate expressions with all that the two modules export; their values as JSON knows them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")

    def values(**expressions):
        imports = "".join(
            f'import * as {name} from "{(STATIC / name).as_uri()}.js";\n' for name in ("slits", "polygons", "redshift")
        )
        given = f"const slit = {json.dumps(SLIT)}, nods = {json.dumps(NODS)};\n"
        body = "".join(f"found.{name} = {text};\n" for name, text in expressions.items())
        script = f"{imports}{given}const found = {{}};\n{body}process.stdout.write(JSON.stringify(found));"
        command = [node, "--input-type=module", "--eval", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return values


def test_shutters(run):
    found = run(
        more="slits.toggled(slit, 1)",
        back="slits.toggled(slits.toggled(slit, 1), 1)",
        opened='slits.shutterBody("root", 101, slits.toggled(slit, 3))',
        silent='slits.shutterBody("root", 101, slit)',
        found="slits.asFound(slits.toggled(slit, 3))",
        states="""[[1, null], [2, {closed: true}], [3, {state: "unknown"}], [0, null]].map(([ordinal, found]) =>
            [slit, {by_hand: true, closed: [1]}].map((one) => slits.stateOf({ordinal, found}, one)))""",
        told="""slits.evidence({ordinal: 2, state: "open", by_hand: true,
            found: {state: "closed", level: 0.04, error: 0.02}})""",
    )
    assert found["more"] == {"by_hand": True, "closed": [1, 3], "found": [3]}
    assert found["back"] == found["found"] == SLIT, "what was found need not be said"
    assert found["opened"] == {"root": "root", "source": 101, "closed": []}
    assert found["silent"] == {"root": "root", "source": 101, "closed": None}
    assert found["states"] == [["open", "stuck"], ["stuck", "open"], ["unknown", "open"], ["closed", "closed"]]
    assert found["told"] == "shutter 2: open, said by hand; found closed, sky 0.04 ± 0.02 of that through an open one"


def test_nods(run):
    found = run(
        silent='slits.nodBody("root", 101, nods)',
        one='slits.nodBody("root", 101, [slits.withBackground(nods[0], 2), nods[1], nods[2]])',
        none='slits.nodBody("root", 101, [[2, 3].reduce(slits.withBackground, nods[0]), nods[1], nods[2]])',
        again='slits.nodBody("root", 101, [[2, 2].reduce(slits.withBackground, nods[0])])',
        out='slits.nodBody("root", 101, [nods[0], {...nods[1], left_out: true}, {...nods[2], left_out_for_all: true}])',
        both="slits.nodsOf([...nods, {...nods[1], detector: 'nrs2'}, {nod: 4}]).length",
    )
    assert found["silent"] == found["again"] == {"root": "root", "source": 101, "nods": None, "left_out": []}
    assert found["one"]["nods"] == {"1": [3]} and found["none"]["nods"] == {"1": []}
    assert found["out"] == {"root": "root", "source": 101, "nods": None, "left_out": [2]}
    assert found["both"] == 3, "a nod on two detectors is one"


def test_typed_corners(run):
    found = run(
        ds9='polygons.parsed("polygon(11,21,20,21,20.5,25) # text={glow}")',
        pairs='polygons.parsed(" 11,21  20,21\\n20.5 25 ")',
        odd='polygons.parsed("1,2 3,4 5").problem',
        word='polygons.parsed("1,2 3,4 5,x").problem',
        few='polygons.parsed("1,2 3,4").problem',
        written="polygons.ds9([[10, 20], [1.25, 2.004]])",
    )
    assert found["ds9"] == found["pairs"] == {"points": [[10, 20], [19, 20], [19.5, 24]], "problem": ""}
    assert found["odd"] == "a corner lacks its y" and found["word"] == "x is not a number"
    assert found["few"].startswith("three corners") and found["written"] == "11,21  2.25,3"


OBJECT = """{meta: {joint: {z: 5, gratings: [
  {grating: "PRISM", filter: "CLEAR", support: 20, offset: 300},
  {grating: "G395M", filter: "F290LP", support: 0.2, offset: 900}]}}}"""


def test_redshifts_of_one_grating_are_given_on_the_wavelengths_of_all(run):
    found = run(
        off=f'redshift.sharedZ({OBJECT}, "prism_clear", 5.006)',
        back=f'redshift.zOf({{object: {OBJECT}, z: 5.002}}, "prism_clear")',
        round=f'redshift.sharedZ({OBJECT}, "prism_clear", redshift.zOf({{object: {OBJECT}, z: 5.002}}, "prism_clear"))',
        far=f'redshift.sharedZ({OBJECT}, "prism_clear", 2.5)',
        other=f'redshift.sharedZ({OBJECT}, "g395m_f290lp", 5.001)',
        alone='redshift.sharedZ({meta: {}}, "prism_clear", 5.006)',
    )
    assert found["off"] == pytest.approx(6.006 / (1 + 300 / 299792.458) - 1, abs=1e-12)
    assert found["back"] == pytest.approx(6.002 * (1 + 300 / 299792.458) - 1, abs=1e-12)
    assert found["round"] == pytest.approx(5.002, abs=1e-12)
    assert (found["far"], found["other"], found["alone"]) == pytest.approx((2.5, 5.001, 5.006), abs=1e-12)
