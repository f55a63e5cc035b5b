"""The redshift of all gratings on disk."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from nirfire.errors import DataError
from nirfire.products.joint_redshift import GRATING_COLUMNS, PEAK_COLUMNS, PZ_COLUMNS, JointFit
from nirfire.products.provenance import recording
from nirfire.products.verify import verify_product

GRATINGS = Table(
    {
        "grating": ["PRISM", "G395M"],
        "filter": ["CLEAR", "F290LP"],
        "filename": ["a_prism_clear_7_zfit.fits", "a_g395m_f290lp_7_zfit.fits"],
        "z": [4.2345, 6.1],
        "z_err": [2e-3, np.nan],
        "probability": [0.99, 0.2],
        "velocity_err": [150.0, 25.0],
        "offset": [11.0, 0.0],
        "offset_err": [90.0, 25.0],
        "support": [6.5, -4.0],
    }
)


@pytest.fixture
def joint():
    return JointFit(
        z=4.2341,
        z_err=3e-4,
        probability=0.97,
        warning=68,
        consensus=4.2345,
        said_by="PRISM",
        gratings=GRATINGS,
        peaks=Table({"z": [4.2341, 6.1], "z_err": [3e-4, 1e-3], "probability": [0.97, 0.02]}),
        z_grid=np.linspace(0, 9, 91),
        density=np.full(91, 1 / 9),
        meta={"SOURCEID": (7, "source")},
    )


def test_what_is_written_is_read(joint, provenance, tmp_path):
    path = tmp_path / "a_7_joint_zfit.fits"
    with recording(provenance):
        joint.write(path)
    assert verify_product(path) == []
    read = JointFit.read(path)
    for name in ("z", "z_err", "probability", "warning", "consensus", "said_by", "n_agree"):
        assert getattr(read, name) == getattr(joint, name)
    assert read.n_agree == 1
    np.testing.assert_array_equal(read.density, joint.density)
    np.testing.assert_array_equal(read.peaks["z"], joint.peaks["z"])
    assert list(read.gratings["grating"]) == ["PRISM", "G395M"]
    assert np.isnan(read.gratings["z_err"][1])
    assert read.meta["SOURCEID"] == (7, "source")
    header = fits.getheader(path)
    assert (header["ZQUAL"], header["GRATING"], header["NGRATING"], header["NAGREE"]) == (0, "JOINT", 2, 1)


def test_another_file_is_refused(fit, tmp_path):
    path = tmp_path / "a_zfit.fits"
    fit.write(path)
    with pytest.raises(DataError, match="not a redshift of all gratings"):
        JointFit.read(path)


def test_columns_say_what_they_are():
    for columns in (GRATING_COLUMNS, PEAK_COLUMNS, PZ_COLUMNS):
        for column in columns.values():
            assert check_ucd(column.ucd, check_controlled_vocabulary=True), column.ucd
            assert 0 < len(column.text) <= 68
