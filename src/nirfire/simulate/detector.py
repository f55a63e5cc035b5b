"""From count rates to raw ramps: what the detectors and the particles around them add.

A read holds, in DN: accumulated photons and dark current (Poisson), cosmic rays and snowballs, all bent by the
nonlinearity; the picture frame; superbias; bias drifts per output; 1/f noise along the fast readout direction; read
noise. The four outputs each read a band of 512 rows in the science orientation, pixel after pixel along y and column
after column along x, so that slow noise becomes vertical stripes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nirfire.simulate import irs2, response
from nirfire.simulate.flicker import N_OUTPUT, flicker_noise
from nirfire.simulate.optics import DETECTORS
from nirfire.stsci.exposure_files import PATTERNS, Readout

Array = NDArray[np.float64]
Map = NDArray[np.float32]

N_PIX = 2048
GROUP_TIME = PATTERNS["NRSRAPID"].group_time  # s
_PARTS = ("photons", "read", "flicker", "drift", "cosmic", "snowballs", "frame")


@dataclass(frozen=True)
class Noise:
    """Strength of each component; zero switches one off.

    Attributes
    ----------
    photons : bool
        Poisson noise of light and dark current.
    read : float
        Factor on the read-noise map.
    flicker : float [DN]
        Standard deviation of the 1/f noise of one read.
    shared : float
        Share of its variance that the four outputs have in common.
    drift : float [DN]
        Standard deviation of the bias of each output from read to read.
    frame : float
        Mean amplitude of the picture frame; it scatters by 40 % between exposures.
    cosmic_rays : float [1/s]
        Hits per detector: 5 /cm2/s on 13.6 cm2.
    snowballs : float [1/s]
    """

    photons: bool = True
    read: float = 1.0
    flicker: float = 3.0
    shared: float = 0.8
    drift: float = 6.0
    frame: float = 1.0
    cosmic_rays: float = 68.0
    snowballs: float = 0.035

    @classmethod
    def none(cls) -> Noise:
        """Return a noiseless detector, picture frame and particles off."""
        return cls(photons=False, read=0.0, flicker=0.0, drift=0.0, frame=0.0, cosmic_rays=0.0, snowballs=0.0)


@dataclass(frozen=True)
class Particles:
    """Charge left by particles.

    Attributes
    ----------
    group, row, col : ndarray of int, shape (n,)
        ``group`` counts the frames of all integrations.
    charge : ndarray, shape (n,) [DN]
    """

    group: NDArray[np.int64]
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    charge: Array


@dataclass(frozen=True)
class NoiseTruth:
    """What was added to one exposure.

    Attributes
    ----------
    frame_amplitude : float
        Factor on the picture frame of the reference.
    flicker_rms, drift_rms, read_noise : float [DN]
        Standard deviations, of one read; for the read noise the median over pixels.
    n_cosmic_rays : int
    snowballs : tuple of (group, row, col, radius)
        Groups are counted from 0 through all integrations.
    """

    frame_amplitude: float
    flicker_rms: float
    drift_rms: float
    read_noise: float
    n_cosmic_rays: int
    snowballs: tuple[tuple[int, int, int, float], ...] = field(default=())


def generators(seed: int, visit: int, exposure: int, detector: str) -> dict[str, np.random.Generator]:
    """Independent random streams, one per noise component, that depend on nothing but the arguments.

    Parameters
    ----------
    seed, visit, exposure : int
    detector : str

    Returns
    -------
    dict
        Keys photons, read, flicker, drift, cosmic, snowballs, frame.
    """
    place = (visit, exposure, DETECTORS.index(detector))
    keys = {part: (*place, k) for k, part in enumerate(_PARTS)}
    return {part: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)) for part, key in keys.items()}


def cosmic_rays(
    rng: np.random.Generator, n_frames: int, rate: float, frame_time: float = GROUP_TIME
) -> tuple[Particles, int]:
    """Straight tracks through the detector from isotropic directions.

    Parameters
    ----------
    rng : Generator
    n_frames : int
    rate : float [1/s]
    frame_time : float [s]

    Returns
    -------
    Particles, int
        Their charge, and how many hits there were.

    Notes
    -----
    A layer a third of a pixel thick is crossed at inclination theta over ``tan(theta) / 3`` pixels; the charge is
    proportional to the path, 700 DN for a perpendicular one in the median, with a lognormal scatter of a factor e.
    Charge diffuses by a third of a pixel.
    """
    n = int(rng.poisson(rate * frame_time * n_frames))
    n_step = 12
    cosine = np.sqrt(rng.uniform(2e-3, 1.0, n))
    length = np.sqrt(1.0 - cosine**2) / cosine / 3.0
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    start = rng.uniform(-0.5, N_PIX - 0.5, (2, n))
    charge = rng.lognormal(np.log(700.0), 1.0, n) / cosine
    along = np.linspace(0.0, 1.0, n_step)[:, None] * length
    blur = rng.normal(0.0, 0.35, (2, n_step, n))
    row = np.rint(start[0] + along * np.sin(angle) + blur[0]).astype(np.int64)
    col = np.rint(start[1] + along * np.cos(angle) + blur[1]).astype(np.int64)
    frame = np.broadcast_to(rng.integers(0, n_frames, n), row.shape)
    deposit = np.broadcast_to(charge / n_step, row.shape)
    return _inside(frame, row, col, deposit), n


def snowballs(
    rng: np.random.Generator, n_frames: int, rate: float, frame_time: float = GROUP_TIME
) -> tuple[Particles, tuple[tuple[int, int, int, float], ...]]:
    """Large round events: a saturated core of 2 to 10 pixels radius in a halo three times as wide.

    Parameters
    ----------
    rng : Generator
    n_frames : int
    rate : float [1/s]
    frame_time : float [s]

    Returns
    -------
    Particles, tuple of (frame, row, col, radius)
    """
    events, parts = [], []
    for _ in range(int(rng.poisson(rate * frame_time * n_frames))):
        row, col = rng.uniform(4, N_PIX - 4, 2)
        radius = float(2.0 * rng.uniform(0.04, 1.0) ** -0.5)
        frame = int(rng.integers(0, n_frames))
        reach = int(3 * radius) + 2
        y, x = np.mgrid[int(row) - reach : int(row) + reach + 1, int(col) - reach : int(col) + reach + 1]
        distance = np.hypot(y - row, x - col)
        halo = 600.0 * np.exp(-((np.clip(distance - radius, 0.0, None) / radius) ** 2))
        charge = np.where(distance < radius, 80000.0, np.where(distance < 3 * radius, halo, 0.0))
        parts.append(_inside(np.full(y.shape, frame), y, x, charge))
        events.append((frame, round(float(row)), round(float(col)), radius))
    return _joined(parts), tuple(events)


def _joined(parts: list[Particles]) -> Particles:
    """All of them as one; empty for an empty list."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    return Particles(
        np.concatenate([none, *(p.group for p in parts)]),
        np.concatenate([none, *(p.row for p in parts)]),
        np.concatenate([none, *(p.col for p in parts)]),
        np.concatenate([nothing, *(p.charge for p in parts)]),
    )


def _inside(group: NDArray, row: NDArray, col: NDArray, charge: NDArray) -> Particles:
    """Only charge that falls on light-sensitive pixels."""
    kept = (row >= 4) & (row < N_PIX - 4) & (col >= 4) & (col < N_PIX - 4) & (charge > 0)
    return Particles(group[kept], row[kept], col[kept], charge[kept])


def _drifts(rng: np.random.Generator, rms: float) -> Map:
    """Bias of each output in one read, as a column of shape (2048, 1) [DN]; 0 at rms = 0."""
    return np.repeat(rng.normal(0.0, rms, N_OUTPUT), N_PIX // N_OUTPUT)[:, None].astype(np.float32)


def make_ramp(
    rate: Array, detector: str, n_groups: int, rng: dict[str, np.random.Generator], noise: Noise | None = None
) -> tuple[NDArray[np.uint16], NoiseTruth]:
    """Raw reads of one NRSRAPID integration, shape (n_groups, 2048, 2048); see :func:`make_exposure`."""
    data, truth = make_exposure(rate, detector, Readout(n_groups), rng, noise)
    return data[0], truth


def make_exposure(
    rate: Array, detector: str, readout: Readout, rng: dict[str, np.random.Generator], noise: Noise | None = None
) -> tuple[NDArray[np.uint16], NoiseTruth]:
    """Raw groups of one exposure.

    Parameters
    ----------
    rate : ndarray, shape (2048, 2048) [DN/s]
        Light only.
    detector : str
    readout : Readout
        Groups, integrations and read pattern. Each integration begins with empty pixels.
    rng : dict
        From :func:`generators`.
    noise : Noise, optional

    Returns
    -------
    data : ndarray of uint16, shape (n_integrations, n_groups, n_y, 2048) [DN]
        n_y is 2048, and 3200 for IRS2.
    truth : NoiseTruth
    """
    noise, pattern = noise or Noise(), readout.pattern
    dead = (response.bad_pixels(detector) & 1024) != 0
    light = np.where(response.reference_pixels() | dead, 0.0, rate) + response.dark_rate(detector)
    gain = response.gain(detector)
    expected = np.clip(light, 0.0, None) * gain * pattern.frame_time
    amplitude = max(0.0, noise.frame * (1.0 + 0.4 * float(rng["frame"].standard_normal())))
    frame = (amplitude * response.picture_frame(detector) * pattern.frame_time).astype(np.float32)
    n_frames = readout.n_groups * pattern.n_frames
    n_all = readout.n_integrations * n_frames
    rays, n_rays = cosmic_rays(rng["cosmic"], n_all, noise.cosmic_rays, pattern.frame_time)
    balls, events = snowballs(rng["snowballs"], n_all, noise.snowballs, pattern.frame_time)
    bias, full = response.superbias(detector), 1.02 * response.saturation(detector)
    shape = (irs2.N_RAW if pattern.irs2 else N_PIX, N_PIX)
    data = np.empty((readout.n_integrations, readout.n_groups, *shape), np.uint16)
    for i in range(readout.n_integrations):
        signal = np.zeros((N_PIX, N_PIX), np.float32)
        total = np.zeros(shape, np.uint32)
        for f in range(n_frames):
            electrons = rng["photons"].poisson(expected) if noise.photons else expected
            signal += (electrons / gain).astype(np.float32)
            for hit in (rays, balls):
                now = hit.group == i * n_frames + f
                np.add.at(signal, (hit.row[now], hit.col[now]), hit.charge[now].astype(np.float32))
            value = response.apply_nonlinearity(signal + frame * (f + 1), detector) + bias
            np.minimum(value, full, out=value)
            total += _read(value, detector, rng, noise, irs2_format=pattern.irs2)
            group, after = divmod(f + 1, pattern.n_frames)
            if after == 0:
                data[i, group - 1] = total // pattern.divisor
                total[:] = 0
    read = float(np.median(response.read_noise(detector) * np.float32(noise.read)))
    events = tuple((index // pattern.n_frames, row, col, radius) for index, row, col, radius in events)
    return data, NoiseTruth(amplitude, noise.flicker, noise.drift, read, n_rays, events)


def _read(
    value: Map, detector: str, rng: dict[str, np.random.Generator], noise: Noise, *, irs2_format: bool
) -> NDArray[np.uint16]:
    """One read of the analogue signal `value` [DN], with the noise of the electronics; `value` is used up."""
    read = response.read_noise(detector) * np.float32(noise.read)
    if irs2_format:
        reference = irs2.raw_superbias(detector)[~irs2.is_light(detector)]
        value = irs2.to_raw(value, detector, reference)
        value += irs2.raw_noise(rng, detector, (noise.flicker, noise.shared, noise.drift))
        read = irs2.to_raw(read, detector, np.median(read))
    else:
        value += _drifts(rng["drift"], noise.drift)
        if noise.flicker > 0:
            value += flicker_noise(rng["flicker"], detector, noise.flicker, noise.shared)
    if noise.read > 0:
        value += read * rng["read"].standard_normal(value.shape, dtype=np.float32)
    return np.clip(value + 0.5, 0, 65535).astype(np.uint16)
