"""Products that are damaged, half there or at odds with each other: what is wrong is said, and the rest is shown."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from nirfire.inspect.objects import Objects
from nirfire.inspect.payload import pack, unpack
from nirfire.products.naming import SPEC, zfit_of
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

from . import served

pytestmark = pytest.mark.usefixtures("quick_disk")
Z = "prism_clear/model"


@pytest.fixture
def place(tmp_path):
    return served.made_workspace(tmp_path)


def prism(place, source=8):
    return place.combined(source, "PRISM", "CLEAR", SPEC)


def told(place, source=8):
    """What the page is told, through what is sent."""
    _, found = Objects(place).get(source)
    return unpack(pack(found.meta, found.arrays))


def card(path, key, value):
    """Give a card of any header another text, whatever it means."""
    raw = path.read_bytes()
    path.write_bytes(re.sub(rb"(?<=" + key.ljust(8).encode() + rb"= ).{70}", value.encode().ljust(70), raw, count=1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: card(path, "DOF", ""), "cannot be read as FITS"),
        (lambda path: card(path, "ZWARN", "'abc'"), "cannot be read as FITS"),
        (lambda path: card(path, "ZBEST", "'abc'"), "cannot be read as FITS"),
        (lambda path: card(path, "NAXIS1", "1E400"), "cannot be read as FITS"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"'PEAKS   '", b"'PIQUES  '")), "no PEAKS"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"'chi2    '", b"'chy2    '")), "chi2"),
        (lambda path: path.write_bytes(path.read_bytes()[:7000]), "shorter than its headers promise"),
        (lambda path: path.write_bytes(b""), "not a FITS file"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_a_fit_that_cannot_be_used_leaves_its_spectrum(place, spoil, said):
    spoil(zfit_of(prism(place)))
    place.joint_zfit(8).unlink()
    meta, arrays = told(place)
    first, second = meta["spectra"]
    assert said in first["error"] and zfit_of(prism(place)).name in first["error"] and second["error"] is None
    assert first["z"] is None and first["peaks"] == [] and first["fit"] is None and first["spec"] and first["facts"]
    assert "prism_clear/flux" in arrays and Z not in arrays, "it can be looked at, and fitted anew"
    assert meta["z"] == pytest.approx(served.Z + 0.001) and meta["origin"] == "g395m_f290lp"


def test_a_fit_of_another_spectrum_is_not_drawn_over_this_one(place):
    fit = RedshiftFit.read(zfit_of(prism(place)))
    replace(fit, wave=fit.wave[:-7], model=fit.model[:-7]).write(zfit_of(prism(place)))
    meta, arrays = told(place)
    assert "a model of 373 pixels for a spectrum of 380" in meta["spectra"][0]["error"] and Z not in arrays


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: {"wave": given.wave[::-1].copy()}, "increase"),
        (lambda given: {"wave": np.where(given.mask, np.nan, given.wave)}, "increase"),
        (lambda given: {"sci": given.sci[:, :-1], "err2d": given.err2d[:, :-1]}, "another number of wavelengths"),
    ],
)
def test_a_spectrum_that_is_at_odds_with_itself(place, change, said):
    given = Spectrum.read(prism(place))
    replace(given, **change(given)).write(prism(place))
    meta, arrays = told(place)
    first, second = meta["spectra"]
    assert said in first["error"] and prism(place).name in first["error"] and second["error"] is None
    assert not any(name.startswith("prism") for name in arrays) and "g395m_f290lp/model" in arrays


def test_a_spectrum_without_a_valid_pixel_is_shown_as_such(place):
    given = Spectrum.read(prism(place, 7))
    replace(given, mask=np.ones(given.mask.shape, bool)).write(prism(place, 7))
    meta, arrays = told(place, 7)
    (first,) = meta["spectra"]
    assert first["error"] is None and first["snr"] is None and np.isnan(arrays["prism_clear/flux"]).all()
    assert all(label != "median S/N" for label, _ in first["facts"])


def test_no_damage_of_a_product_fails_the_page(place):
    """A seeded look: whatever is changed in a file, the source is read, and what is wrong is in words."""
    draw = random.Random(11)
    values = ("'abc'", "-5", "1E400", "", "T", "99999999999999999999", "0")
    for path in (prism(place), zfit_of(prism(place)), place.joint_zfit(8)):
        whole = path.read_bytes()
        keys = [k for k in range(0, len(whole), 80) if re.match(rb"[A-Z0-9-]+ *= ", whole[k : k + 80])]
        for k in range(120):
            raw = bytearray(whole)
            at = draw.choice(keys)
            if k % 3 == 0:
                raw[at + 10 : at + 80] = draw.choice(values).encode().ljust(70)
            elif k % 3 == 1:
                raw[at : at + 8] = b"NOTHING "
            else:
                del raw[draw.randrange(len(raw)) :]
            path.write_bytes(raw)
            with np.errstate(over="ignore"):
                meta, _ = told(place)
            assert len(meta["spectra"]) == 2 and meta["spectra"][1]["error"] is None
        path.write_bytes(whole)
    meta, _ = told(place)
    assert [one["error"] for one in meta["spectra"]] == [None, None] and meta["joint"]["error"] is None


def test_a_spectrum_that_is_removed_while_it_is_read(place, monkeypatch):
    objects = Objects(place)
    spectra = objects.spectra(8)
    monkeypatch.setattr(objects, "spectra", lambda source: spectra)
    prism(place).unlink()
    _, found = objects.get(8)
    assert "No such file" in found.meta["spectra"][0]["error"] and "g395m_f290lp/flux" in found.arrays
    with fits.open(place.combined(8, "G395M", "F290LP", SPEC)) as hdus:
        assert len(found.arrays["g395m_f290lp/flux"]) == len(hdus["SPEC1D"].data)
