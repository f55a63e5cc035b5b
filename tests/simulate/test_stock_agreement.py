"""The stock pipeline, on the embedded instrument's references, finds traces and lines where they were painted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PROBE = Path(__file__).with_name("stock_probe.py")


@pytest.mark.slow
@pytest.mark.parametrize("grating", ["PRISM", "G395M"])
def test_traces_and_lines_are_found(run_stock: Callable[..., str], tmp_path: Path, grating: str) -> None:
    found = np.array(json.loads(run_stock(str(PROBE), str(tmp_path), grating).splitlines()[-1]))
    assert len(found) > 30
    after, before, row = found.T
    assert np.max(np.abs(after)) < 0.05
    assert np.max(np.abs(before)) > 0.25  # off-centre sources are shifted: wavecorr is put to the test
    assert np.max(np.abs(row)) < 0.05
