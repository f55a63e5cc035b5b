"""The table of reference types against the step classes, and the keywords against datamodels and CRDS's own rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from nirfire.stsci.reference_needs import KEYWORDS, needed_types, selection_parameters
from nirfire.stsci.stock_steps import OFF_BY_DEFAULT, PIPELINES, STOCK
from tests.forked import run_forked

LISTING = """
import json, re, sys
from pathlib import Path
import crds, jwst.pipeline, jwst.step
from stdatamodels.jwst import datamodels
exposure, pipelines, classes = json.loads(sys.argv[1])
def types(step):
    found = step().reference_file_types
    return sorted(set(found))
steps = {}
for stage, name in pipelines.items():
    pipeline = getattr(jwst.pipeline, name)()
    steps[stage] = {
        n: [c.__name__, types(c), getattr(pipeline, n).skip or not getattr(pipeline, n).prefetch_references]
        for n, c in pipeline.step_defs.items()
    }
    steps[stage]["pipeline"] = pipeline.get_config_reftype()
alone = {name: [types(getattr(jwst.step, name)), getattr(jwst.step, name).get_config_reftype()] for name in classes}
with datamodels.JwstDataModel(exposure) as model:
    parameters = model.get_crds_parameters()
rules = "".join(p.read_text() for p in (Path(crds.__file__).parent / "jwst" / "specs").glob("nirspec_*.*"))
keys = sorted(set(re.findall(r"META[.][A-Z_0-9.]+", rules)))
print("ANSWER" + json.dumps([steps, alone, parameters, keys]))
"""


def test_tables_agree_with_the_installed_packages(expose: Callable[..., Path]) -> None:
    exposure = expose(1, "NRS2")
    alone = {class_name for class_name, _ in STOCK["clean"].values()}
    arguments = json.dumps([str(exposure), PIPELINES, sorted(alone)])
    done = run_forked("-c", LISTING, arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    steps, found_alone, parameters, keys = json.loads(done.stdout.partition("ANSWER")[2])

    for stage, found in steps.items():
        assert found.pop("pipeline") == f"pars-{PIPELINES[stage].lower()}"
        ours = {name: [cls, sorted(types.split())] for name, (cls, types) in STOCK[stage].items()}
        assert ours == {name: [cls, types] for name, (cls, types, _) in found.items()}, stage
        assert {name for name, (*_, off) in found.items() if off} == OFF_BY_DEFAULT[stage]
    for class_name, types in STOCK["clean"].values():
        assert found_alone[class_name] == [sorted(types.split()), f"pars-{class_name.lower()}"]

    stock = {key.upper(): value for key, value in parameters.items()}
    assert selection_parameters(exposure) == {key: stock[key] for key in KEYWORDS if key in stock}
    assert set(keys) - set(KEYWORDS) <= {"META.INSTRUMENT.EXP_TYPE"}  # no such attribute in the datamodels


def test_needs_follow_stages_and_step_parameters() -> None:
    required, optional = needed_types({"detector"})
    assert {"mask", "dark", "refpix", "gain"} <= required
    assert "camera" not in required
    assert {"pictureframe", "pars-detector1pipeline", "pars-jumpstep"} <= optional
    assert not required & optional

    on, _ = needed_types({"detector"}, {"detector": {"picture_frame": {"skip": False}}})
    assert on - required == {"pictureframe"}
    off, _ = needed_types(
        {"detector"}, {"detector": {"dark_current": {"skip": True}, "ipc": {"override_ipc": "x.fits"}}}
    )
    assert required - off == {"dark", "ipc"}

    required, optional = needed_types({"calibrate"})
    assert {"fflat", "msa", "wavecorr"} <= required
    assert not {"extract1d", "barshadow", "bkg"} & required, "nirfire skips these steps"
    assert "pars-spec2pipeline" in optional
    assert "barshadow" in needed_types({"calibrate"}, {"calibrate": {"barshadow": {"skip": False}}})[0]
    assert "pictureframe" in needed_types({"clean"})[0]
    assert needed_types({"adopt", "nodsub", "redshift"}) == (set(), set())
    assert needed_types({"offsets", "extract"}) == ({"pathloss"}, set())
