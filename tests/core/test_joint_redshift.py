"""One redshift of several gratings: synthetic curves of known truth."""

import numpy as np
import pytest

from nirfire.core.joint_redshift import DOUBT, Curve, joint_redshift, velocity_error
from nirfire.core.lsf import C_KMS

STEPS = {"PRISM": (500.0, 30.0, 20.0), "G395M": (100.0, 10.0, 15.0), "G395H": (30.0, 5.0, 15.0)}
SIGMA = {"PRISM": 60.0, "G395M": 15.0, "G395H": 6.0}


def shifted(z, kms):
    return float(np.expm1(np.log1p(z) + kms / C_KMS))


def curve(grating, *minima, z_max=None, scale=2.0, trust=0.99):
    """Chi2 with minima (z, depth), all sampled finely; there exp(-chi2 / scale) has the width that SIGMA says."""
    coarse, fine, highest = STEPS[grating]
    u = np.arange(0.0, np.log1p(z_max or highest), coarse / C_KMS)
    for z, _ in minima:
        about = np.log1p(z) + np.arange(-3000.0, 3000.0 + fine, fine) / C_KMS
        u = np.sort(np.concatenate([u[(u < about[0]) | (u > about[-1])], about[about >= 0.0]]))
    chi2 = np.full(u.size, 2000.0)
    for z, depth in minima:
        width = SIGMA[grating] * np.sqrt(depth / scale)
        chi2 -= depth * np.exp(-0.5 * (C_KMS * (u - np.log1p(z)) / width) ** 2)
    return Curve(np.expm1(u), chi2, scale, velocity_error(grating), trust)


def three(rng):
    """Three gratings of one source: its redshift, the true offsets, the measured shifts [km/s], and the curves."""
    z = np.expm1(rng.uniform(0.7, 2.2))
    names = ("PRISM", "G395M", "G395H")
    true = np.array([rng.normal(0.0, velocity_error(g)) for g in names])
    seen = true + [rng.normal(0.0, SIGMA[g]) for g in names]
    return z, true, seen, [curve(g, (shifted(z, v), 400.0)) for g, v in zip(names, seen, strict=True)]


def test_one_peak_in_each_is_a_linear_problem_with_a_known_answer():
    names = ("PRISM", "G395M", "G395H")
    noise, prior = (np.array([of(g) for g in names]) for of in (SIGMA.get, velocity_error))
    design = np.vstack([np.column_stack([np.ones(3), np.eye(3)]) / noise[:, None], np.eye(4)[1:] / prior[:, None]])
    covariance = np.linalg.inv(design.T @ design)
    for seed in range(4):
        z, _, seen, curves = three(np.random.default_rng(seed))
        answer = covariance @ design.T @ np.concatenate([seen / noise, np.zeros(3)])
        found = joint_redshift(curves)
        measured = [C_KMS * np.log((1 + found.z) / (1 + z)), *(view.offset for view in found.views)]
        errors = [C_KMS * found.z_err / (1 + found.z), *(view.offset_err for view in found.views)]
        assert measured == pytest.approx(answer, abs=2.0)
        assert errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.02)
        assert found.probability > 0.999


@pytest.mark.slow
def test_errors_and_offsets_have_unit_pulls():
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(200):
        z, true, _, curves = three(rng)
        found = joint_redshift(curves)
        off = [(view.offset - v) / view.offset_err for view, v in zip(found.views, true, strict=True)]
        pulls.append([(found.z - z) / found.z_err, *off])
    assert (np.abs(np.mean(pulls, axis=0)) < 3.0 / np.sqrt(200)).all()
    assert (np.abs(np.std(pulls, axis=0) - 1.0) < 3.0 / np.sqrt(400)).all()


def test_the_prism_is_off_by_80_kms():
    z = 5.0
    found = joint_redshift([curve("PRISM", (shifted(z, 80.0), 900.0)), curve("G395M", (z, 400.0))])
    assert abs(C_KMS * np.log((1 + found.z) / (1 + z))) < 15.0
    prism, grating = found.views
    assert prism.offset == pytest.approx(75.0, abs=20.0)
    assert abs(grating.offset) < 10.0
    assert prism.support > 3.0
    assert grating.support > prism.support
    errors = [joint_redshift([one]).z_err for one in (curve("PRISM", (z, 900.0)), curve("G395M", (z, 400.0)))]
    assert found.z_err < min(errors)
    assert found.z_err == pytest.approx((1 + z) * np.hypot(25.0, 15.0) / C_KMS, rel=0.05)  # the grating's


def test_a_flat_curve_changes_nothing():
    alone = joint_redshift([curve("PRISM", (3.0, 400.0))])
    flat = curve("G395M", trust=0.02)
    both = joint_redshift([curve("PRISM", (3.0, 400.0)), flat])
    assert both.z == pytest.approx(alone.z, abs=1e-5)
    assert both.z_err == pytest.approx(alone.z_err, rel=1e-3)
    assert both.probability == pytest.approx(alone.probability, abs=1e-3)
    assert both.views[1].support == pytest.approx(0.0, abs=0.01)
    assert (both.views[1].offset, both.views[1].offset_err) == pytest.approx((0.0, 25.0), abs=0.1)


def test_gratings_outdo_false_peaks_that_each_prefers():
    """The same redshift is the second choice of both."""
    prism = curve("PRISM", (8.2, 60.0), (3.0, 52.0), scale=4.0, trust=0.6)
    grating = curve("G395M", (1.1, 60.0), (3.0, 52.0), scale=4.0, trust=0.6)
    found = joint_redshift([prism, grating])
    assert found.z == pytest.approx(3.0, abs=0.003)
    assert found.probability > 0.95
    assert joint_redshift([prism]).z == pytest.approx(8.2, abs=0.01)
    assert joint_redshift([grating]).z == pytest.approx(1.1, abs=0.01)


def test_a_wrong_grating_does_not_forbid_what_the_others_say():
    right = [curve("PRISM", (3.0, 300.0)), curve("G395H", (3.0, 300.0))]
    found = joint_redshift([*right, curve("G395M", (6.0, 3000.0))])
    assert found.z == pytest.approx(3.0, abs=0.001)
    assert found.probability > 0.99
    *ours, other = found.views
    assert min(view.support for view in ours) > 3.0
    assert other.support == pytest.approx(np.log(DOUBT), abs=0.05)


def test_two_that_contradict_each_other_leave_doubt():
    found = joint_redshift([curve("PRISM", (3.0, 300.0)), curve("G395M", (6.0, 300.0))])
    assert 0.4 < found.probability < 0.6
    assert sorted(found.peaks[:2, 0]) == pytest.approx([3.0, 6.0], abs=0.01)
    sure = joint_redshift([curve("PRISM", (3.0, 300.0)), curve("G395M", (6.0, 300.0), trust=0.3)])
    assert sure.z == pytest.approx(3.0, abs=0.01)
    assert sure.probability > 0.95


def test_beyond_the_end_of_a_scan_it_neither_forbids_nor_favours():
    grating = curve("G395M", (4.0, 6.0), z_max=15.0, trust=0.05)
    found = joint_redshift([curve("PRISM", (17.0, 100.0)), grating])
    assert found.z == pytest.approx(17.0, abs=0.02)
    assert found.probability > 0.9
    high = curve("PRISM", (17.0, 100.0))
    only_high = Curve(high.z[high.z > 16], high.chi2[high.z > 16], high.scale, high.velocity, 0.9)
    found = joint_redshift([only_high, curve("G395M", (4.0, 100.0), trust=0.99)])
    assert found.z == pytest.approx(4.0, abs=0.01)


def test_a_minimum_at_the_end_of_the_range():
    found = joint_redshift([curve("PRISM", (0.0, 300.0)), curve("G395M", (0.0, 300.0))])
    assert 0 <= found.z < 0.001
    assert np.isfinite(found.z_err)
    assert found.probability > 0.9


def test_alone_a_curve_is_believed_as_far_as_it_is_trusted():
    for trust in (0.1, 0.5, 0.9):
        found = joint_redshift([curve("G395M", (2.0, 400.0), trust=trust)])
        assert found.probability == pytest.approx(trust, abs=0.01)
    assert joint_redshift([curve("G395M", (2.0, 400.0), trust=1.0)]).probability == pytest.approx(0.99, abs=1e-3)


def test_the_density_integrates_to_one_and_peaks_are_distinct():
    found = joint_redshift([curve("PRISM", (3.0, 30.0), (6.0, 29.0), (9.0, 27.0)), curve("G395M", (6.0, 20.0))])
    assert np.trapezoid(found.density, found.z_grid) == pytest.approx(1.0, abs=0.01)
    assert (np.diff(found.z_grid) > 0).all()
    assert found.peaks[:, 2].sum() <= 1.0 + 1e-9
    assert (np.diff(found.peaks[:, 2]) <= 0).all()
    apart = np.abs(np.subtract.outer(np.log1p(found.peaks[:, 0]), np.log1p(found.peaks[:, 0])))
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 0.008


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_minima_much_narrower_than_the_wavelength_error_keep_their_weight(width):
    """Two peaks of one depth count alike, whatever the grid makes of them."""
    z = [shifted(3.0, 0.0), shifted(5.0, 0.77)]
    fine = np.concatenate([np.log1p(one) + np.arange(-60.0, 60.5, 0.5) / C_KMS for one in z])
    u = np.sort(np.concatenate([np.arange(0.0, 2.7, 100.0 / C_KMS), fine]))
    chi2 = 500.0 - sum(80.0 * np.exp(-0.5 * (C_KMS * (u - np.log1p(one)) / (width * 40**0.5)) ** 2) for one in z)
    found = joint_redshift([Curve(np.expm1(u), chi2, 2.0, 25.0, 1.0)])
    assert found.peaks[:2, 2] == pytest.approx([0.5, 0.5], abs=0.03)


def test_redshifts_that_nearly_repeat_do_no_harm():
    one = curve("G395M", (2.0, 400.0))
    z = np.sort(np.concatenate([one.z, np.nextafter(one.z[500:800], 100.0)]))
    twice = one._replace(z=z, chi2=np.interp(z, one.z, one.chi2))
    assert joint_redshift([twice]).z == pytest.approx(joint_redshift([one]).z, abs=1e-7)


def test_what_cannot_be_used_is_refused():
    good = curve("G395M", (2.0, 100.0))
    with pytest.raises(ValueError, match="no curve"):
        joint_redshift([])
    for bad, said in (
        (good._replace(chi2=good.chi2[:-1]), "one chi2 each"),
        (good._replace(z=good.z[::-1]), "increasing"),
        (good._replace(chi2=np.full(good.z.size, np.nan)), "finite"),
        (good._replace(scale=0.0), "positive"),
        (good._replace(trust=float("nan")), "trust"),
    ):
        with pytest.raises(ValueError, match=said):
            joint_redshift([good, bad])


def test_nothing_is_changed():
    one = curve("G395M", (2.0, 100.0))
    for values in (one.z, one.chi2):
        values.setflags(write=False)
    joint_redshift([one, one])
