"""What the page reckons itself: edits of shutters and nods, redshifts of one grating among several; run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import nirfire.inspect

STATIC = Path(nirfire.inspect.__file__).parent / "static"
MODULES = ("slits", "polygons", "redshift", "keys", "lines", "pz", "format", "spectra")
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
SEEN = """
const seen = (own) => ({ state: { get: () => ({ source: 7, own: new Map(),
  object: { meta: { source: 7, z: 7.25, votes: { own } } } }) } });
const twice = (...grades) => seen({ quality: 0, z: null, rivals: grades.map(([quality, z]) => ({ quality, z })) });
"""


@pytest.fixture(scope="module")
def run():
    """Evaluate expressions with all that the modules export; their values as JSON knows them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")

    def values(**expressions):
        imports = "".join(f'import * as {name} from "{(STATIC / name).as_uri()}.js";\n' for name in MODULES)
        given = "globalThis.document = {createElement: () => ({})};\n"  # image2d.js makes a canvas when it is loaded
        given += f"const slit = {json.dumps(SLIT)}, nods = {json.dumps(NODS)};\n"
        given += SEEN
        body = "".join(f"found.{name} = {text};\n" for name, text in expressions.items())
        script = f"{imports}{given}const found = {{}};\n{body}process.stdout.write(JSON.stringify(found));"
        command = [node, "--input-type=module", "--eval", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return values


def test_the_redshift_to_start_with(run):
    """A key must not save the automatic redshift where somebody gave another one twice."""
    found = run(
        none="redshift.firstRedshift(seen(null))",
        own="redshift.firstRedshift(seen({quality: 4, z: 1.5, rivals: []}))",
        impossible="redshift.firstRedshift(seen({quality: 1, z: null, rivals: []}))",
        grades="redshift.firstRedshift(twice([4, 1.5], [3, 1.501]))",
        places="redshift.firstRedshift(twice([4, 1.5], [4, 5]))",
        one="redshift.firstRedshift(twice([4, 1.5], [1, null]))",
    )
    automatic = {"z": 7.25, "zFrom": "auto"}
    assert found == {
        "none": automatic,
        "own": {"z": 1.5, "zFrom": "saved"},
        "impossible": automatic,
        "grades": {"z": 1.501, "zFrom": "saved"},
        "places": automatic,
        "one": {"z": 1.5, "zFrom": "saved"},
    }


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
        order=f"""Array.from({{length: 4000}}, (_, k) => redshift.sharedZ({OBJECT}, "prism_clear", k / 400))
            .every((z, k, all) => k === 0 || (z - all[k - 1]) * 400 > 0.99)""",
        ends=f"""[0, 12.3].map((z) =>
            redshift.sharedZ({OBJECT}, "prism_clear", redshift.zOf({{object: {OBJECT}, z}}, "prism_clear")))""",
        other=f'redshift.sharedZ({OBJECT}, "g395m_f290lp", 5.001)',
        alone='redshift.sharedZ({meta: {}}, "prism_clear", 5.006)',
    )
    assert found["off"] == pytest.approx(6.006 / (1 + 300 / 299792.458) - 1, abs=1e-12)
    assert found["back"] == pytest.approx(6.002 * (1 + 300 / 299792.458) - 1, abs=1e-12)
    assert found["round"] == pytest.approx(5.002, abs=1e-12)
    assert found["far"] == pytest.approx(3.5 / (1 + 300 / 299792.458) - 1, abs=1e-12), "wavelengths are off at any z"
    assert found["order"], "a scan neither folds nor tears anywhere"
    assert found["ends"] == pytest.approx([0, 12.3], abs=1e-12)
    assert (found["other"], found["alone"]) == pytest.approx((5.001, 5.006), abs=1e-12)


def test_keys_have_the_same_names_on_every_keyboard(run):
    """Event of a key: key, code, Shift, Caps Lock."""
    typed = {
        "us": [
            ("n", "KeyN", 0, 0),
            ("N", "KeyN", 1, 0),
            ("<", "Comma", 1, 0),
            (">", "Period", 1, 0),
            (".", "Period", 1, 0),
            (",", "Comma", 0, 0),
        ],
        "german": [(";", "Comma", 1, 0), (":", "Period", 1, 0), ("/", "Digit7", 1, 0), ("?", "Minus", 1, 0)],
        "french": [
            (".", "Comma", 1, 0),
            ("/", "Period", 1, 0),
            (",", "KeyM", 0, 0),
            ("?", "KeyM", 1, 0),
            ("1", "Digit1", 1, 0),
        ],
        "russian": [("т", "KeyN", 0, 0), ("Т", "KeyN", 1, 0), ("ж", "Semicolon", 0, 0)],
        "caps": [("N", "KeyN", 0, 1), ("n", "KeyN", 1, 1), ("N", "KeyN", 1, 1)],
        "others": [("ArrowLeft", "ArrowLeft", 1, 0), ("Enter", "Enter", 0, 0), ("é", "Digit2", 0, 0)],
    }
    name = """(all) => all.map(([key, code, shift, caps]) =>
        keys.nameOf({key, code, shiftKey: shift > 0, getModifierState: (one) => one === "CapsLock" && caps > 0}))"""
    found = run(**{layout: f"({name})({json.dumps(events)})" for layout, events in typed.items()})
    assert found["us"] == ["n", "N", "Shift+,", "Shift+.", "Shift+.", ","]
    assert found["german"] == ["Shift+,", "Shift+.", "/", "?"]
    assert found["french"] == [".", "/", ",", "?", "1"], "a full stop is typed with Shift there"
    assert found["russian"] == ["n", "N", "ж"] and found["caps"] == ["n", "N", "N"]
    assert found["others"] == ["Shift+ArrowLeft", "Enter", "é"]


def test_a_redshift_has_the_decimals_of_its_error(run):
    found = run(
        said="""[[2.345678, 0.00012], [2.345678, 0.0034], [2.345678, 0.012], [5.6237612, 0.0000219], [1.5, null],
            [null, 0.01], [2, Infinity]].map(([z, err]) => [format.redshift(z, err), format.error(err)])"""
    )
    assert found["said"] == [
        ["2.34568", "± 0.00012"],
        ["2.3457", "± 0.0034"],
        ["2.3457", "± 0.0120"],
        ["5.623761", "± 0.000022"],
        ["1.5000", ""],
        ["–", "± 0.0100"],
        ["2.0000", ""],
    ]


CLOSE = [(700, 18), (530, 62), (514, 16), (524, 62), (540, 30), (8, 40), (796, 60)]  # place and width of labels [px]


def test_labels_of_close_lines_make_room_for_one_another(run):
    """H alpha, [O III] 5008 and H beta as PRISM sees them; no text meets another, nor a leader of another."""
    wanted = f"{[list(one) for one in CLOSE]}.map(([x, width]) => ({{x, width}}))"
    for tiers in (1, 2, 3):
        places = run(places=f"lines.placed({wanted}, {tiers}, 800)")["places"]
        assert all(places[:3]), "the first ones have a place, also with a single tier"
        boxes = [(one["left"], one["tier"], *line) for one, line in zip(places, CLOSE, strict=True) if one]
        for left, tier, x, width in boxes:
            assert 0 <= left <= 800 - width and left - 0.1 <= x <= left + width + 0.1
            for other, above, leader, _ in boxes:
                if (other, above) != (left, tier):
                    assert above != tier or other > left + width or other < left
                    assert above <= tier or not left - 2 <= leader <= left + width + 2


def test_ticks_of_a_redshift_axis(run):
    found = run(
        whole="pz.zTicks([0.0003, 20], 200).map(({text}) => text)",
        close="pz.zTicks([4.8415, 4.8532], 113).map(({text}) => text)",
        zero="pz.zTicks([-0.005, 0.005], 200).map(({text}) => text)",
    )
    assert found["whole"][:6] == ["0", "10", "5", "1", "2", "20"] and len(found["whole"]) == 21
    assert found["close"] == ["4.845", "4.850"]
    assert found["zero"][0] == "0.000" and all(float(text) >= 0 for text in found["zero"])


@pytest.mark.parametrize("width", [3, 5])
def test_smoothed_errors_count_what_neighbours_share(run, width):
    """Against the sum over the whole covariance matrix."""
    rng = np.random.default_rng(5)
    n = 40
    flux, err = rng.normal(5, 1, n), rng.uniform(0.5, 2, n)
    shared = np.array([rng.uniform(0.1, 0.3, n), rng.uniform(-0.05, 0.1, n)])
    flux[[7, 8, 30]] = np.nan
    arrays = {"wave": np.linspace(1, 2, n), "flux": flux, "err": err, "shared": shared.ravel()}
    given = json.dumps({name: [None if np.isnan(one) else one for one in values] for name, values in arrays.items()})
    made = f"""(() => {{
      const told = Object.fromEntries(Object.entries({given}).map(([name, all]) =>
        [name, Float32Array.from(all, (one) => one ?? NaN)]));
      const view = {{ extraction: "opt", smooth: {width}, units: "fnu" }};
      const {{ flux, err }} = spectra.curve({{ kept: new Map(), wave: told.wave, get: (name) => told[name] }}, view);
      return [[...flux], [...err]]; }})()"""
    found = run(made=made)["made"]
    correlation = np.eye(n)
    for k, row in enumerate(shared, 1):
        correlation += np.diag(row[:-k], k) + np.diag(row[:-k], -k)
    covariance = correlation * np.outer(err, err)
    for i in range(n):
        near = (np.abs(np.arange(n) - i) <= width // 2) & np.isfinite(flux)
        if np.isnan(flux[i]):
            assert found[0][i] is None and found[1][i] is None
            continue
        weights = np.where(near, err**-2.0, 0) / (err[near] ** -2.0).sum()
        assert found[0][i] == pytest.approx(np.nansum(weights * flux), rel=1e-5)
        assert found[1][i] == pytest.approx(np.sqrt(weights @ covariance @ weights), rel=1e-5)
