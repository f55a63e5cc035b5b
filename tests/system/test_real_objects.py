"""Three real nodded exposures become a spectrum with its known redshift."""

import pytest
from astropy.table import Table

from nirfire.products.naming import ZFIT, Workspace
from nirfire.products.zfit import RedshiftFit
from tests.conftest import nirfire

OBJECTS = [
    ("ceers_933", 933, 4.234, "static-test-driz-center-bkg_933.spec.fits"),
    pytest.param(
        *("rubies_44597", 44597, 3.4608, "rubies-egs61-v2_prism-clear_4233_44597.spec.fits"),
        marks=pytest.mark.slow,  # extracted in test_extract_real.py and fitted in test_redshift_real.py, both quick
    ),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "source", "z", "published"), OBJECTS)
def test_known_redshift(real_data, tmp_path, name, source, z, published):
    folder = real_data / "nods" / name
    done = nirfire("run", folder, "-w", "out", "--compare", folder / published, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    place = Workspace(tmp_path / "out", name)
    (path,) = place.find_combined(source, ZFIT)
    assert RedshiftFit.read(path).z == pytest.approx(z, abs=0.01)
    assert list((place.report / "figures").glob("*publish*.png"))
    row = Table.read(place.summary("ecsv"))[0]
    assert row["n_exposures"] == 3
    assert row["method"] == "model"
