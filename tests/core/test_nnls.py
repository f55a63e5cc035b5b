import numpy as np
import pytest
from scipy.optimize import nnls as scipy_nnls

from nirfire.core import nnls


@pytest.mark.parametrize("seed", range(60))
def test_equals_scipy_on_the_dense_problem(seed):
    rng = np.random.default_rng(seed)
    n_rows, n = int(rng.integers(30, 400)), int(rng.integers(2, 40))
    design = np.abs(rng.normal(size=(n_rows, n))) ** 2
    data = design @ np.maximum(rng.normal(size=n), 0) + rng.normal(size=n_rows) * rng.choice([0.1, 3.0])
    design *= 10.0 ** rng.uniform(-5, 4, n)  # norms over nine decades
    x = nnls.solve(design.T @ design, design.T @ data)
    scale = 1 / np.linalg.norm(design, axis=0)
    expected = scipy_nnls(design * scale, data, maxiter=1000)[1] ** 2
    assert np.all(x >= 0)
    assert ((data - design @ x) ** 2).sum() == pytest.approx(expected, rel=1e-9)


def test_collinear_and_zero_columns_are_harmless():
    rng = np.random.default_rng(1)
    design = np.abs(rng.normal(size=(50, 4)))
    design = np.column_stack([design, design[:, 0], np.zeros(50), 2 * design[:, 1] + design[:, 2]])
    data = design[:, 0] + design[:, 6] + 0.01 * rng.normal(size=50)
    x = nnls.solve(design.T @ design, design.T @ data)
    expected = scipy_nnls(design, data)[1] ** 2
    assert x[5] == 0
    assert ((data - design @ x) ** 2).sum() == pytest.approx(expected, rel=1e-9)


def test_nothing_positive_gives_zero():
    design = np.eye(3)
    assert np.all(nnls.solve(design, -np.ones(3)) == 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_guess_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    design, data = rng.random((60, 20)), rng.normal(size=60)
    gram, rhs = design.T @ design, design.T @ data
    expected = nnls.solve(gram, rhs)
    for guess in (rng.random(20), (rng.random(20) < 0.3).astype(float), expected.copy()):
        x = guess.copy()
        assert nnls.active_set(np.tril(gram), rhs, x, nnls.scratch(20)) >= 0
        assert np.allclose(x, expected, atol=1e-9)


def test_only_the_lower_triangle_is_read():
    rng = np.random.default_rng(1)
    design, data = rng.random((30, 8)), rng.random(30)
    gram, rhs = design.T @ design, design.T @ data
    assert np.allclose(nnls.solve(np.tril(gram), rhs), nnls.solve(gram, rhs), atol=1e-12)
