"""The list of all sources: one redshift each, from the catalogue or from newer products."""

from __future__ import annotations

import itertools
import shutil
import time

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.inspect import index as module
from nirfire.inspect.index import Catalogue, Redshift, best_redshift, fingerprints
from nirfire.products.naming import SPEC, Workspace
from tests.inspect import served
from tests.inspect.votes import big_catalogue, grows_old, write_catalogue, write_source

NAN = float("nan")


@pytest.fixture
def place(tmp_path):
    return Workspace(tmp_path, "ws")


def row(source: int, key: str, z: float, probability: float = NAN, **more) -> dict:
    grating, filter_ = key.split("_")
    named = {"source_id": source, "grating": grating.upper(), "filter": filter_.upper()}
    return named | {"redshift_auto": z, "redshift_probability": probability} | more


def joint(z: float, probability: float) -> dict:
    return {"redshift_joint": z, "redshift_joint_error": 0.0001, "redshift_joint_probability": probability}


def test_which_redshift_stands_for_a_source():
    def fit(z: float, probability: float, origin: str) -> Redshift:
        return Redshift(z, 0.001, probability, 0, origin)

    prism, medium, high = fit(2.0, 0.3, "prism_clear"), fit(3.0, 0.9, "g395m_f290lp"), fit(4.0, NAN, "g140h_f100lp")
    fits = {one.origin: one for one in (prism, medium, high)}
    assert best_redshift(fits, fit(2.5, 0.1, "joint")).origin == "joint"
    assert best_redshift(fits, fit(NAN, NAN, "joint")) is prism
    assert best_redshift(fits) is prism
    assert best_redshift({"a": medium, "b": high}) is medium
    assert best_redshift({"prism_clear": fit(NAN, 0.9, "prism_clear"), "g140h_f100lp": high}) is high
    assert best_redshift({"prism_clear": fit(NAN, NAN, "prism_clear")}) is None
    assert best_redshift({}) is None


def test_the_list_follows_the_same_rule_as_a_single_source(place):
    """All combinations of three spectra with and without a redshift or a probability."""
    values = [(NAN, NAN), (1.0, NAN), (2.0, 0.4), (3.0, 0.4), (4.0, 0.9)]
    keys = ["g395m_f290lp", "prism_clear", "g140h_f100lp"]
    rows, expected = [], []
    for source, chosen in enumerate(itertools.product(values, repeat=3), 1):
        fits = {key: Redshift(z, NAN, p, 0, key) for key, (z, p) in zip(keys, chosen, strict=True)}
        rows += [row(source, fit.origin, fit.z, fit.probability) for fit in fits.values()]
        best = best_redshift(fits)
        expected.append((best.z, best.origin) if best else (NAN, ""))
    np.random.default_rng(1).shuffle(rows)
    write_catalogue(place, rows)
    found = Catalogue(place).index()
    assert found.spectra == tuple(sorted(keys))
    np.testing.assert_array_equal(found.z, [z for z, _ in expected])
    assert [found.spectra[k] if k >= 0 else "" for k in found.origin] == [origin for _, origin in expected]


def test_what_the_catalogue_says(place):
    rows = [
        row(30, "prism_clear", 2.0, 0.2, signal_to_noise=3.0, n_lines=2, redshift_warning=5, ra=53.5, dec=-27.5),
        row(30, "g395m_f290lp", 4.0, 0.9, signal_to_noise=1.5, n_lines=7, redshift_warning=6, **joint(4.001, 0.99)),
        row(4, "prism_clear", 7.25, 0.6, redshift_error=0.01, redshift_warning=64),
    ]
    rows[0] |= joint(4.001, 0.99)
    write_catalogue(place, rows)
    found = Catalogue(place).index()
    assert found.source.tolist() == [4, 30] and found.complete
    assert found.row(30) == 1 and found.row(5) is None and found.row(99) is None
    np.testing.assert_allclose(found.z, [7.25, 4.001])
    np.testing.assert_allclose(found.zprob, [0.6, 0.99])
    np.testing.assert_allclose(found.z_err, [0.01, 0.0001])
    np.testing.assert_allclose(found.snr, [np.nan, 3.0])
    assert found.zwarn.tolist() == [64, 6]  # of the one spectrum that supports the joint redshift
    assert found.n_lines.tolist() == [0, 7] and found.gratings.tolist() == [0b10, 0b11]
    assert found.origin.tolist() == [1, -1]
    assert (found.ra[1], found.dec[1]) == (53.5, -27.5)


def test_warnings_of_all_gratings_are_those_that_the_catalogue_tells(place):
    """Those of the single spectra, which an earlier version has to go by, do not count then."""
    both = [row(5, key, 4.0, 0.9, redshift_warning=6, **joint(4.001, 0.99)) for key in ("prism_clear", "g395m_f290lp")]
    alone = row(6, "prism_clear", 2.0, 0.9, redshift_warning=5, redshift_joint_warning=0)
    write_catalogue(place, [*(one | {"redshift_joint_warning": 64} for one in both), alone])
    assert Catalogue(place).index().zwarn.tolist() == [64, 5]
    write_catalogue(place, both)
    assert Catalogue(place).index().zwarn.tolist() == [6]


def test_newer_products_win_over_the_catalogue(place):
    for source in (1, 2):
        write_source(place, source, z=2.5)
        grows_old(place.source_folder(source))
    write_catalogue(
        place, [row(1, "prism_clear", 2.5, 0.9), row(2, "prism_clear", 2.5, 0.9), row(3, "prism_clear", 8.0)]
    )
    catalogue = Catalogue(place)
    first = catalogue.index()
    assert first.z.tolist() == [2.5, 2.5, 8.0]
    assert catalogue.index() is first  # nothing has changed
    write_source(place, 2, fit="f2", z=6.125)
    write_source(place, 9, z=1.5)
    later = catalogue.index()
    assert later.source.tolist() == [1, 2, 3, 9] and later.z.tolist() == [2.5, 6.125, 8.0, 1.5]
    assert later.zwarn.tolist() == [0, 4, 0, 4] and later.revision != first.revision and later.complete
    assert catalogue.fingerprints(2) == {"prism_clear": {"spec": "s1", "fit": "f2"}}
    write_catalogue(place, [row(2, "prism_clear", 6.25)])  # the run that follows
    grows_old(place.source_folder(2), 60)
    grows_old(place.catalogue, 30)
    assert catalogue.index().z.tolist() == [2.5, 6.25, 1.5]


def test_products_alone_make_a_list(tmp_path):
    place = served.made_workspace(tmp_path)
    found = Catalogue(place).index()
    assert found.source.tolist() == [7, 8, 9] and found.spectra == ("g395m_f290lp", "prism_clear")
    np.testing.assert_allclose(found.z, [2.345, 2.3456, np.nan], atol=1e-6)
    assert found.origin.tolist() == [1, -1, -2] and found.gratings.tolist() == [2, 3, 2]
    assert found.zwarn.tolist() == [64, 0, 0] and found.n_lines.tolist() == [1, 1, 0]
    assert np.all(found.snr > 5)


def test_many_products_are_read_in_pieces(place, monkeypatch):
    for source in range(1, 6):
        write_source(place, source)
        grows_old(place.source_folder(source))
    monkeypatch.setattr(module, "SECONDS", -1.0)  # one at each call
    catalogue = Catalogue(place)
    looks = [catalogue.index() for _ in range(5)]
    assert [look.source.size for look in looks] == [1, 2, 3, 4, 5]
    assert [look.complete for look in looks] == [False] * 4 + [True]
    assert len({look.revision for look in looks}) == 5


def test_folders_of_very_many_sources_are_not_looked_at_again_at_once(place, monkeypatch):
    """A page asks for several things at once, and each look at 50,000 folders takes a quarter of a second."""
    for source in (1, 2, 3):
        write_source(place, source)
    for many, seen in ((5, [4, 5]), (2, [3, 3])):
        monkeypatch.setattr(module, "MANY", many)
        catalogue = Catalogue(place)
        assert catalogue.index().source.size == 3
        found = []
        for source in (4, 5):
            write_source(place, source)
            found.append(catalogue.index().source.size)
        assert found == seen
        catalogue._again = 0.0
        assert catalogue.index().source.size == 5
        for source in (4, 5):
            shutil.rmtree(place.source_folder(source))


def test_a_damaged_product_does_not_stop_the_list(place):
    write_source(place, 1)
    write_source(place, 2)
    place.combined(1, "PRISM", "CLEAR", SPEC).write_bytes(b"x" * 5000)
    found = Catalogue(place).index()
    assert found.source.tolist() == [1, 2] and np.isnan(found.ra[0]) and found.z[1] == 2.5


def test_an_empty_workspace_and_a_catalogue_that_is_none(place):
    found = Catalogue(place).index()
    assert found.source.size == 0 and found.complete and found.z.size == 0
    place.catalogue.mkdir()
    place.summary("fits").write_bytes(b"no FITS")
    with pytest.raises(DataError, match="FITS"):
        Catalogue(place).index()


def test_fingerprints_follow_the_products(place):
    assert fingerprints(place, 7) == {}
    write_source(place, 7)
    assert fingerprints(place, 7) == {"prism_clear": {"spec": "s1", "fit": "f1"}}
    write_source(place, 7, spec="s2")
    assert fingerprints(place, 7) == {"prism_clear": {"spec": "s2", "fit": "f1"}}
    place.combined(7, "PRISM", "CLEAR", SPEC).unlink()
    assert fingerprints(place, 7) == {}


def test_50_000_sources_are_listed_in_half_a_second(place):
    big_catalogue(place, 50_000)
    start = time.process_time()
    found = Catalogue(place).index()
    assert time.process_time() - start < 0.5
    assert found.gratings.max() == 3 and found.spectra == ("g395m_f290lp", "prism_clear")
    assert found.source.size == np.unique(found.source).size
