"""Which shutter of the metrology is taken, and which point in it; where that is in the sky is in test_export.py."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.products.msa_rows import N_COLUMN, N_ROW
from nirfire.stsci.shutter_sky import FocalPlane


@pytest.fixture
def plane():
    """Shutter (row, column) is at (row, column) mm, a tenth of it open; quadrant q is moved by q metres."""
    column, row = np.mgrid[1 : N_COLUMN + 1, 1 : N_ROW + 1]
    table = np.zeros(N_ROW * N_COLUMN, dtype=[(name, float) for name in ("XC", "YC", "SIZEX", "SIZEY")])
    table["XC"], table["YC"] = row.ravel() * 1e-3, column.ravel() * 1e-3
    table["SIZEX"], table["SIZEY"] = 1e-4, 2e-4
    made = FocalPlane.__new__(FocalPlane)
    made._quadrants = {q: (table, lambda x, y, q=q: (x + q, y)) for q in range(1, 5)}
    made._to_focal_plane = lambda x, y, wave: (1000 * x, 1000 * y, wave)
    made._wave = 3e-6
    return made


def test_points_of_shutters(plane):
    x, y = plane.places([1, 4], [7, 365], [9, 171], [(0, 0), (-0.5, 0.5)])
    np.testing.assert_allclose(x, [[1007, 1006.95], [4365, 4364.95]])
    np.testing.assert_allclose(y, [[9, 9.1], [171, 171.1]])


def test_shutters_that_do_not_exist(plane):
    x, y = plane.places([5, 1, 1, 1, 1, 2], [1, 0, 366, 1, 1, 1], [1, 1, 1, 0, 172, 1])
    assert np.isnan(x[:5]).all() and np.isnan(y[:5]).all()
    assert np.isfinite([x[5, 0], y[5, 0]]).all()


def test_a_reference_that_crds_lacks():
    with pytest.raises(DataError, match="no fore reference"):
        FocalPlane({"fore": "N/A", "msa": "a", "ote": "b"}, 3.0)
