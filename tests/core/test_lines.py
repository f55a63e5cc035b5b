import numpy as np
import pytest
from scipy.special import ndtr

from nirfire.core import lines, lsf


def test_hydrogen_wavelengths_follow_rydberg():
    rydberg = 10.9677583  # 1 / um, hydrogen
    series = {"Ha": (2, 3), "Hb": (2, 4), "Hg": (2, 5), "Hd": (2, 6), "Heps": (2, 7), "H8": (2, 8), "H9": (2, 9),
              "Paa": (3, 4), "Pab": (3, 5), "Pag": (3, 6), "Pad": (3, 7), "Pae": (3, 8), "P9": (3, 9), "P10": (3, 10),
              "P11": (3, 11), "Bra": (4, 5), "Brb": (4, 6), "Brg": (4, 7), "Brd": (4, 8), "Bre": (4, 9), "Pfb": (5, 7),
              "Pfg": (5, 8), "Pfd": (5, 9), "Lya": (1, 2)}  # fmt: skip
    for name, (lower, upper) in series.items():
        assert lines.WAVE[name] == pytest.approx(1 / (rydberg * (lower**-2 - upper**-2)), rel=5e-5), name


def test_doublets_are_tied_and_dust_reddens():
    bare = lines.group("x", {"OIII5008": 2.98, "Ha": 2.86, "Hb": 1.0}, sigma_v=100.0)
    flux = dict(zip(bare.wave, bare.ratio, strict=True))
    assert flux[lines.WAVE["OIII4960"]] == pytest.approx(1.0)
    dusty = lines.group("x", {"Ha": 2.86, "Hb": 1.0}, sigma_v=100.0, a_v=1.0)
    decrement = dusty.ratio[0] / dusty.ratio[1]
    assert decrement == pytest.approx(2.86 * 10 ** (0.4 * (4.598 - 3.325) / 4.05), rel=0.01)  # k(Hb), k(Ha) of Calzetti
    with pytest.raises(KeyError):
        lines.group("x", {"nonsense": 1.0}, sigma_v=1.0)


def test_line_table_shares_profiles_between_groups():
    groups = (
        lines.group("a", {"Ha": 1.0, "Hb": 2.0}, sigma_v=100.0),
        lines.group("b", {"Ha": 3.0}, sigma_v=100.0),
        lines.group("c", {"Ha": 4.0}, sigma_v=900.0),
    )
    table = lines.line_table(groups)
    assert table.wave.size == 3 and table.n_groups == 3
    assert sorted(table.ratio) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("offset", [0.0, 0.13, 0.5, 0.77])
def test_pixel_integrated_line_keeps_flux_and_position(offset):
    wave = 3.0 + 0.0018 * np.arange(200)
    low, high = lsf.pixel_edges(wave)
    center = wave[100] + offset * 0.0018
    table = lines.line_table((lines.LineGroup("one", (1.0,), (2.5,), 150.0),))
    design = np.zeros((200, 2))
    width = np.full(200, 4e-4)
    lines.fill_lines(design, 1, center, table, low, high, width, np.empty(0, dtype=np.int64))
    share = design[:, 1] * (high - low) / center**2 / 2.5
    sigma = center * np.hypot(4e-4, 150.0 / lsf.C_KMS)
    assert np.all(design[:, 0] == 0)
    reached = share > 0
    assert np.all(reached == ((high > center - lines.REACH * sigma) & (low < center + lines.REACH * sigma)))
    assert share.sum() == pytest.approx(1.0, abs=1e-6)
    assert (share * wave).sum() / share.sum() == pytest.approx(center, abs=1e-7)
    exact = ndtr((high - center) / sigma) - ndtr((low - center) / sigma)
    assert np.allclose(share[reached], exact[reached], atol=1e-12)


def test_rows_of_a_sparse_form_are_those_of_the_full_one():
    wave = np.linspace(1.0, 1.2, 200)
    low, high = lsf.pixel_edges(wave)
    table = lines.line_table((lines.LineGroup("one", (1.05, 1.15), (2.5, 1.0), 150.0),))
    full, width, empty = np.zeros((200, 1)), np.full(200, 4e-4), np.empty(0, dtype=np.int64)
    lines.fill_lines(full, 0, 1.0, table, low, high, width, empty)
    row_of = np.empty(200, dtype=np.int64)
    sparse = np.zeros((lines.find_rows(row_of, 1.0, table, low, high, width), 1))
    lines.fill_lines(sparse, 0, 1.0, table, low, high, width, row_of)
    assert np.all((row_of >= 0) == (full[:, 0] > 0))
    assert np.array_equal(sparse, full[row_of >= 0])


def test_flux_ratios_are_fluxes_not_fnu():
    wave = np.geomspace(1.0, 5.0, 3000)
    low, high = lsf.pixel_edges(wave)
    table = lines.line_table((lines.LineGroup("two", (1.5, 4.0), (1.0, 3.0), 200.0),))
    design = np.zeros((3000, 1))
    lines.fill_lines(design, 0, 1.0, table, low, high, np.full(3000, 1e-3), np.empty(0, dtype=np.int64))
    energy = design[:, 0] * (high - low) / wave**2  # f_lambda dlambda
    blue, red = energy[wave < 2.5].sum(), energy[wave > 2.5].sum()
    assert red / blue == pytest.approx(3.0, rel=2e-3)


def test_sets_hold_known_lines():
    groups = lines.composite_groups(200.0)
    assert len({one.name for one in groups}) == len(groups)
    assert all(min(one.ratio) > 0 and len(one.wave) == len(one.ratio) for one in groups)
