"""Bands of pixels between two curves."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.core.traces import Band, bands_mask, rows_at


def band(x, lower, upper) -> Band:
    x = np.asarray(x, float)
    curves = [np.broadcast_to(np.asarray(y, float), x.shape).copy() for y in (lower, upper)]
    for array in (x, *curves):
        array.setflags(write=False)
    return Band(x, curves[0], x, curves[1])


def test_partial_pixels_count() -> None:
    mask = bands_mask([band([2, 5], 3.6, 6.2)], (12, 10))
    assert np.flatnonzero(mask.any(axis=0)).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(mask[:, 3]).tolist() == [4, 5, 6]
    assert np.flatnonzero(bands_mask([band([2, 5], 3.4, 6.6)], (12, 10))[:, 3]).tolist() == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("turn", [1, -1])
def test_margin_pad_and_order(turn: int) -> None:
    """Neither the order of the points nor that of the edges matters."""
    x, low, high = np.array([3.0, 6.0]), np.array([4.0, 5.5]), np.array([6.0, 7.5])
    straight = Band(x, low, x, high)
    turned = Band(x[::turn], high[::turn], x[::turn], low[::turn])
    masks = [bands_mask([b], (20, 12), margin=2, pad=2.0) for b in (straight, turned)]
    assert np.array_equal(*masks)
    assert np.flatnonzero(masks[0].any(axis=0)).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(masks[0][:, 1]).tolist() == [1, 2, 3, 4, 5, 6, 7]  # lower edge continued to row 3, upper to 5


def test_many_curved_bands_against_brute_force() -> None:
    rng = np.random.default_rng(3)
    shape, bands = (150, 120), []
    expected = np.zeros(shape, bool)
    for _ in range(40):
        x = np.sort(rng.uniform(-60, 180, 25))
        lower = rng.uniform(-30, 170) + 0.1 * x + 0.001 * (x - 60) ** 2
        bands.append(band(x, lower, lower + rng.uniform(0, 20)))
        for column in range(shape[1]):
            if x[0] - 0.5 <= column <= x[-1] + 0.5:
                low, high = (rows_at(np.array([column]), x, y)[0] for y in (bands[-1].lower, bands[-1].upper))
                touched = (np.arange(shape[0]) + 0.5 >= low) & (np.arange(shape[0]) - 0.5 <= high)
                expected[:, column] |= touched
    assert np.array_equal(bands_mask(bands, shape), expected)
    grown = np.array([expected[max(k - 3, 0) : k + 4].any(axis=0) for k in range(shape[0])])
    assert (grown & ~bands_mask(bands, shape, margin=3)).sum() == 0


def test_nothing_and_what_misses() -> None:
    assert not bands_mask([], (8, 8)).any()
    outside = [band([-20, -9], 2, 4), band([20, 30], 2, 4), band([1, 5], -9, -4), band([1, 5], 40, 50)]
    assert not bands_mask(outside, (8, 8), margin=2, pad=2.0).any()
    assert bands_mask([band([1, 5], -900, 900)], (8, 8))[:, 1:6].all()


def test_rows_beyond_the_ends() -> None:
    x, y = np.array([10.0, 12.0, 20.0]), np.array([1.0, 2.0, 3.0])
    columns = np.array([8, 10, 16, 20, 28])
    assert rows_at(columns, x, y).tolist() == [0.0, 1.0, 2.5, 3.0, 4.0]
    assert rows_at(columns, x[::-1], y[::-1]).tolist() == [0.0, 1.0, 2.5, 3.0, 4.0]
    stuck = np.array([10.0, 10.0, 20.0])  # points put at the edge of the field
    assert rows_at(np.array([5, 25]), stuck, y).tolist() == [1.0, 3.5]
