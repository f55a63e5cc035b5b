"""Run stock Detector1 on a simple ramp; called in a process of its own with the CRDS environment set.

Usage: python detector1_probe.py FOLDER DETECTOR. Leaves FOLDER/probe_rate.fits of a rate that grows as the square of
the column, `true_rate`, through every detector effect of ``response`` except 1/f noise and cosmic rays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from spec2_probe import rate_model

from nirfire.simulate import response

N_GROUPS, GROUP_TIME = 6, 10.73677


def true_rate() -> np.ndarray:
    """Rate of each pixel [DN/s], 20 to 420: up to 27000 DN at the end of the ramp."""
    return 20.0 + 400.0 * np.linspace(0, 1, 2048)[None, :] ** 2 * np.ones((2048, 1))


def ramp(detector: str) -> np.ndarray:
    """Raw counts, shape (1, n_groups, 2048, 2048)."""
    rng = np.random.default_rng(3)
    gain, light = response.gain(detector), ~response.reference_pixels()
    mean = np.where(light, true_rate() + response.dark_rate(detector), 0.0) * GROUP_TIME * gain
    signal = np.zeros((2048, 2048))
    counts = np.empty((1, N_GROUPS, 2048, 2048), np.uint16)
    for group in range(N_GROUPS):
        signal += rng.poisson(mean) / gain
        read = response.superbias(detector) + response.apply_nonlinearity(signal, detector)
        read = read + rng.standard_normal(read.shape) * response.read_noise(detector)
        counts[0, group] = np.clip(np.rint(read), 0, 65535)
    return counts


def main(folder: Path, detector: str) -> None:
    """Run it."""
    from jwst.pipeline import Detector1Pipeline
    from stdatamodels.jwst import datamodels

    uncal = folder / "probe_uncal.fits"
    with datamodels.Level1bModel(data=ramp(detector)) as model:
        model.update(rate_model("CLEAR", "PRISM", detector, Path("absent_msa.fits")))
        timing = {"frame_time": GROUP_TIME, "group_time": GROUP_TIME, "integration_time": N_GROUPS * GROUP_TIME}
        counts = {"ngroups": N_GROUPS, "nints": 1, "nframes": 1, "groupgap": 0, "drop_frames1": 0, "frame_divisor": 1}
        model.update({"meta": {"exposure": {**timing, **counts, "nresets_at_start": 1}}})
        model.meta.filename = uncal.name
        model.save(str(uncal))
    Detector1Pipeline.call(str(uncal), output_dir=str(folder), save_results=True, steps={"jump": {"skip": True}})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
