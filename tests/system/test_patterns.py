"""Two and five nods, dithers and visits go through the whole line (minutes each)."""

import numpy as np
import pytest
from astropy.table import Table

from nirfire.demo import RAW
from nirfire.products.naming import BKGSUB, ZFIT, Workspace
from nirfire.products.zfit import RedshiftFit
from nirfire.simulate.truth import CATALOGUE, FOLDER
from tests.conftest import nirfire


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "exposures"),
    [(("--nods", 5), 5), (("--nods", 2, "--dithers", 2, "--visits", 2), 8), (("--grating", "G395M"), 3)],
    ids=["5 nods", "2 nods, 2 dithers, 2 visits", "G395M"],
)
def test_pattern(tmp_path, options, exposures):
    done = nirfire("demo", "--size", "small", "-w", "demo", "-j", 2, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    place = Workspace(tmp_path / "demo", "demo")
    for row in Table.read(place.folder / RAW / FOLDER / CATALOGUE):
        source = int(row["source_id"])
        on_one = [n for n in place.find_slits(source, BKGSUB) if n.detector == "nrs1"]
        assert len(on_one) == exposures
        if np.isfinite(row["z"]):
            (path,) = place.find_combined(source, ZFIT)
            assert abs(RedshiftFit.read(path).z - row["z"]) < 0.003 * (1 + row["z"])
