"""Mean transmission of the intergalactic medium (Inoue et al. 2014) and a simple damping wing."""

from __future__ import annotations

import numba
import numpy as np

LYMAN_LIMIT_UM = 0.0911753
LYMAN_ALPHA_UM = 0.121567
NEUTRAL_Z = 6.0
"""From here on sources have damping wings."""

# Inoue et al. 2014, MNRAS 442, 1805, table 2: lambda_j [A], A_LAF,1 A_LAF,2 A_LAF,3, A_DLA,1 A_DLA,2 (n = 2 to 40)
# fmt: off
_TABLE_2 = np.array([
    [1215.67, 1.690e-02, 2.354e-03, 1.026e-04, 1.617e-04, 5.390e-05],
    [1025.72, 4.692e-03, 6.536e-04, 2.849e-05, 1.545e-04, 5.151e-05],
    [972.537, 2.239e-03, 3.119e-04, 1.360e-05, 1.498e-04, 4.992e-05],
    [949.743, 1.319e-03, 1.837e-04, 8.010e-06, 1.460e-04, 4.868e-05],
    [937.803, 8.707e-04, 1.213e-04, 5.287e-06, 1.429e-04, 4.763e-05],
    [930.748, 6.178e-04, 8.606e-05, 3.752e-06, 1.402e-04, 4.672e-05],
    [926.226, 4.609e-04, 6.421e-05, 2.799e-06, 1.377e-04, 4.590e-05],
    [923.150, 3.569e-04, 4.971e-05, 2.167e-06, 1.355e-04, 4.516e-05],
    [920.963, 2.843e-04, 3.960e-05, 1.726e-06, 1.335e-04, 4.448e-05],
    [919.352, 2.318e-04, 3.229e-05, 1.407e-06, 1.316e-04, 4.385e-05],
    [918.129, 1.923e-04, 2.679e-05, 1.168e-06, 1.298e-04, 4.326e-05],
    [917.181, 1.622e-04, 2.259e-05, 9.847e-07, 1.281e-04, 4.271e-05],
    [916.429, 1.385e-04, 1.929e-05, 8.410e-07, 1.265e-04, 4.218e-05],
    [915.824, 1.196e-04, 1.666e-05, 7.263e-07, 1.250e-04, 4.168e-05],
    [915.329, 1.043e-04, 1.453e-05, 6.334e-07, 1.236e-04, 4.120e-05],
    [914.919, 9.174e-05, 1.278e-05, 5.571e-07, 1.222e-04, 4.075e-05],
    [914.576, 8.128e-05, 1.132e-05, 4.936e-07, 1.209e-04, 4.031e-05],
    [914.286, 7.251e-05, 1.010e-05, 4.403e-07, 1.197e-04, 3.989e-05],
    [914.039, 6.505e-05, 9.062e-06, 3.950e-07, 1.185e-04, 3.949e-05],
    [913.826, 5.868e-05, 8.174e-06, 3.563e-07, 1.173e-04, 3.910e-05],
    [913.641, 5.319e-05, 7.409e-06, 3.230e-07, 1.162e-04, 3.872e-05],
    [913.480, 4.843e-05, 6.746e-06, 2.941e-07, 1.151e-04, 3.836e-05],
    [913.339, 4.427e-05, 6.167e-06, 2.689e-07, 1.140e-04, 3.800e-05],
    [913.215, 4.063e-05, 5.660e-06, 2.467e-07, 1.130e-04, 3.766e-05],
    [913.104, 3.738e-05, 5.207e-06, 2.270e-07, 1.120e-04, 3.732e-05],
    [913.006, 3.454e-05, 4.811e-06, 2.097e-07, 1.110e-04, 3.700e-05],
    [912.918, 3.199e-05, 4.456e-06, 1.943e-07, 1.101e-04, 3.668e-05],
    [912.839, 2.971e-05, 4.139e-06, 1.804e-07, 1.091e-04, 3.637e-05],
    [912.768, 2.766e-05, 3.853e-06, 1.680e-07, 1.082e-04, 3.607e-05],
    [912.703, 2.582e-05, 3.596e-06, 1.568e-07, 1.073e-04, 3.578e-05],
    [912.645, 2.415e-05, 3.364e-06, 1.466e-07, 1.065e-04, 3.549e-05],
    [912.592, 2.263e-05, 3.153e-06, 1.375e-07, 1.056e-04, 3.521e-05],
    [912.543, 2.126e-05, 2.961e-06, 1.291e-07, 1.048e-04, 3.493e-05],
    [912.499, 2.000e-05, 2.785e-06, 1.214e-07, 1.040e-04, 3.466e-05],
    [912.458, 1.885e-05, 2.625e-06, 1.145e-07, 1.032e-04, 3.440e-05],
    [912.420, 1.779e-05, 2.479e-06, 1.080e-07, 1.024e-04, 3.414e-05],
    [912.385, 1.682e-05, 2.343e-06, 1.022e-07, 1.017e-04, 3.389e-05],
    [912.353, 1.593e-05, 2.219e-06, 9.673e-08, 1.009e-04, 3.364e-05],
    [912.324, 1.510e-05, 2.103e-06, 9.169e-08, 1.002e-04, 3.339e-05],
])
# fmt: on


def series_optical_depth(wave_obs: np.ndarray, z: float) -> np.ndarray:
    """Lyman-series optical depth, Inoue et al. 2014 equations 21 and 22.

    Parameters
    ----------
    wave_obs : ndarray [um]
        Observed wavelengths.
    z : float
        Redshift of the source.
    """
    tau = np.zeros(np.shape(wave_obs))
    _add_series(np.ravel(np.asarray(wave_obs, dtype=float)) * 1e4, z, _TABLE_2, tau.reshape(-1))
    return tau


@numba.njit(cache=True)
def _add_series(wave: np.ndarray, z: float, table: np.ndarray, tau: np.ndarray) -> None:
    for j in range(table.shape[0]):
        center = table[j, 0]
        for i in range(wave.size):
            x = wave[i] / center
            if x <= 1.0 or x >= 1.0 + z:
                continue
            if x < 2.2:
                tau[i] += table[j, 1] * x**1.2
            elif x < 5.7:
                tau[i] += table[j, 2] * x**3.7
            else:
                tau[i] += table[j, 3] * x**5.5
            tau[i] += table[j, 4] * x**2.0 if x < 3.0 else table[j, 5] * x**3.0


def _continuum_laf(x: np.ndarray, z: float) -> np.ndarray:
    """Equations 25 to 27; x = wave_obs / 911.8 A, valid for 1 < x < 1 + z."""
    p = 1.0 + z
    if z < 1.2:
        return 0.325 * (x**1.2 - p**-0.9 * x**2.1)
    if z < 4.7:
        below = 2.55e-2 * p**1.6 * x**2.1 + 0.325 * x**1.2 - 0.250 * x**2.1
        return np.where(x < 2.2, below, 2.55e-2 * (p**1.6 * x**2.1 - x**3.7))
    low = 5.22e-4 * p**3.4 * x**2.1 + 0.325 * x**1.2 - 3.14e-2 * x**2.1
    middle = 5.22e-4 * p**3.4 * x**2.1 + 0.218 * x**2.1 - 2.55e-2 * x**3.7
    high = 5.22e-4 * (p**3.4 * x**2.1 - x**5.5)
    return np.where(x < 2.2, low, np.where(x < 5.7, middle, high))


def _continuum_dla(x: np.ndarray, z: float) -> np.ndarray:
    """Equations 28 and 29."""
    p = 1.0 + z
    if z < 2.0:
        return 0.211 * p**2 - 7.66e-2 * p**2.3 * x**-0.3 - 0.135 * x**2
    below = 0.634 + 4.70e-2 * p**3 - 1.78e-2 * p**3.3 * x**-0.3 - 0.135 * x**2 - 0.291 * x**-0.3
    return np.where(x < 3.0, below, 4.70e-2 * p**3 - 1.78e-2 * p**3.3 * x**-0.3 - 2.92e-2 * x**3)


def continuum_optical_depth(wave_obs: np.ndarray, z: float) -> np.ndarray:
    """Lyman-continuum optical depth (forest and damped systems), never negative."""
    x = np.asarray(wave_obs, dtype=float) / LYMAN_LIMIT_UM
    inside = (x > 1.0) & (x < 1.0 + z)
    safe = np.where(inside, x, 1.0)
    return np.where(inside, np.maximum(_continuum_laf(safe, z) + _continuum_dla(safe, z), 0.0), 0.0)


def transmission(wave_rest: np.ndarray, z: float, *, damping: bool = False, log_column: float = np.nan) -> np.ndarray:
    """Mean transmission of the intergalactic medium for a source at z.

    Parameters
    ----------
    wave_rest : ndarray [um]
        Rest-frame wavelengths.
    z : float
        Source redshift; at z <= 0 the transmission is 1.
    damping : bool
        Multiply by the damping wing of `damping_wing`.
    log_column : float
        For the wing.

    Returns
    -------
    ndarray
        Values in 0..1; 1 above Lyman-alpha unless `damping`.
    """
    wave = np.asarray(wave_rest, dtype=float)
    if z <= 0:
        return np.ones(wave.shape)
    wave_obs = wave * (1.0 + z)
    tau = series_optical_depth(wave_obs, z) + continuum_optical_depth(wave_obs, z)
    if damping:
        tau = tau + damping_wing(wave, z, log_column)
    return np.exp(-tau)


def damping_wing(wave_rest: np.ndarray, z: float, log_column: float = np.nan) -> np.ndarray:
    """Optical depth of the Lyman-alpha damping wing of neutral gas at the source, z >= 6 and below 0.15 um.

    Parameters
    ----------
    wave_rest : ndarray [um]
    z : float
    log_column : float
        log10 of the column density [cm^-2]; NaN for the mean.

    Notes
    -----
    Mean column density log N_HI = 3.5918 / (1 + exp(-1.8414 (z - 6))) + 18.001 (Asada et al. 2024, arXiv:2410.21543);
    cross-section of the two-level atom with the frequency dependence of Peebles 1993 (section 23):
    sigma(nu) = 3 lambda_a^2 G^2 / (8 pi) (nu/nu_a)^4 / (4 pi^2 (nu - nu_a)^2 + G^2 (nu/nu_a)^6 / 4), G = 6.265e8 / s.
    """
    wave = np.asarray(wave_rest, dtype=float)
    if z < NEUTRAL_Z:
        return np.zeros(wave.shape)
    mean = 3.5918 / (1.0 + np.exp(-1.8414 * (z - 6.0))) + 18.001
    column = 10.0 ** (log_column if np.isfinite(log_column) else mean)
    wave_cm = LYMAN_ALPHA_UM * 1e-4
    rate = 6.265e8
    nu_alpha = 2.99792458e10 / wave_cm
    ratio = LYMAN_ALPHA_UM / wave
    offset = 2.0 * np.pi * nu_alpha * (ratio - 1.0)
    sigma = 3.0 * wave_cm**2 * rate**2 / (8.0 * np.pi) * ratio**4 / (offset**2 + 0.25 * rate**2 * ratio**6)
    return np.where(wave < 0.15, column * sigma, 0.0)
