"""Fits on request are those of the engine; votes and objects never wait for them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import closing

import anyio
import numpy as np
import pytest

from nirfire.core.zlocal import fit_at, ready
from nirfire.core.zscan import fit_redshift
from nirfire.errors import DataError
from nirfire.inspect import fitter as fitting
from nirfire.inspect.fitter import Fitter
from nirfire.inspect.payload import unpack
from nirfire.inspect.refit import AT_END, Asked, work
from nirfire.inspect.refusal import Refusal
from nirfire.products.naming import SPEC
from nirfire.products.spectrum import Spectrum
from nirfire.products.template_store import load_templates
from nirfire.tasks.settings import RedshiftSettings

from . import served

KEY = "prism_clear"
PATIENCE = 300  # s


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return served.made_workspace(tmp_path_factory.mktemp("ws"))


@pytest.fixture(scope="module")
def path(place):
    return place.combined(7, "PRISM", "CLEAR", SPEC)


@pytest.fixture(scope="module")
def engine(path):
    """What the engine finds over the whole range."""
    spectrum = Spectrum.read(path)
    flux = np.where(spectrum.ivar > 0, spectrum.flux, 0.0)
    common = {"grating": "PRISM", "templates": load_templates(), "correlation": spectrum.correlation}
    return fit_redshift(spectrum.wave, flux, spectrum.ivar, **common)


def asked(path, z, window=None):
    return Asked(path, (1, 1, 1), RedshiftSettings(), z, window)


def test_the_whole_range_is_the_engines_own_fit(path, engine):
    meta, arrays = work(asked(path, 1.0))
    assert abs(engine.z_best - served.Z) < 0.003 * (1 + served.Z), "it is a spectrum with a redshift"
    assert (meta["z"], meta["chi2"], meta["zprob"]) == (engine.z_best, engine.chi2_min, engine.probability)
    assert meta["full"] and meta["dof"] == engine.dof and len(meta["peaks"]) == len(engine.peaks)
    assert meta["peaks"][0] == {"z": engine.z_best, "z_err": engine.z_err, "dchi2": 0.0}
    np.testing.assert_array_equal(arrays["z"], engine.z)
    np.testing.assert_array_equal(arrays["model"], engine.model.astype(np.float32))
    assert meta["range"] == [engine.z[0], engine.z[-1]]


@pytest.mark.parametrize("off", [-0.03, 0.0, 0.03])
def test_near_by_it_finds_the_same_minimum(path, engine, off):
    start = engine.z_best + off * (1 + engine.z_best)
    meta, arrays = work(asked(path, start, 0.05))
    assert meta["z"] == pytest.approx(engine.z_best, abs=1e-6) and meta["chi2"] == pytest.approx(
        engine.chi2_min, abs=1e-4
    )
    assert meta["z_err"] == pytest.approx(engine.z_err, rel=1e-3)
    assert meta["zprob"] is None and not meta["full"], "a window cannot tell how probable it is"
    assert "another redshift" not in " ".join(meta["zwarn"]) and AT_END not in meta["zwarn"]
    np.testing.assert_allclose(arrays["model"], engine.model, atol=1e-5)
    low, high = start - 0.05 * (1 + start), start + 0.05 * (1 + start)
    assert low <= arrays["z"][0] < arrays["z"][-1] <= high
    assert arrays["dchi2"].min() == 0.0 and np.trapezoid(arrays["p"], arrays["z"]) == pytest.approx(1.0, rel=0.01)


def test_elsewhere_it_stays_where_it_was_sent(path, engine):
    meta, _ = work(asked(path, 4.5, 0.02))
    assert 4.5 - 0.02 * 5.5 <= meta["z"] <= 4.5 + 0.02 * 5.5
    assert meta["chi2"] > engine.chi2_min + 100


def test_a_minimum_at_the_end_of_the_window_is_said(path, engine):
    beside = engine.z_best + 0.014 * (1 + engine.z_best)
    meta, _ = work(asked(path, beside, 0.01))
    assert AT_END in meta["zwarn"]
    assert AT_END not in work(asked(path, 0.0, 0.01))[0]["zwarn"], "the end of all redshifts is another thing"


def test_the_model_at_a_redshift_is_the_best_there(path, engine):
    meta, arrays = work(asked(path, engine.z_best, 0.0))
    assert meta["chi2"] == pytest.approx(engine.chi2_min, abs=1e-6)
    np.testing.assert_allclose(arrays["model"], engine.model, atol=1e-5)
    curve = np.interp([1.9, 3.1], engine.z, engine.chi2)
    for z, expected in zip((1.9, 3.1), curve, strict=True):
        assert work(asked(path, z, 0.0))[0]["chi2"] == pytest.approx(expected, abs=0.02 * expected)


def test_chi2_of_the_model_is_that_of_its_pixels(path):
    spectrum = Spectrum.read(path)
    given = ready(
        spectrum.wave,
        np.where(spectrum.ivar > 0, spectrum.flux, 0.0),
        spectrum.ivar,
        grating="PRISM",
        templates=load_templates(),
    )
    for z in (1.0, served.Z, 6.3):
        fit = fit_at(given, z)
        prepared = given.one.prepared
        pixels = float(np.sum(prepared.ivar * (prepared.flux - fit.model) ** 2))
        assert 0.0 <= fit.chi2 - pixels < 0.05 * fit.chi2, "the rest is the price of the calibration polynomial"


def test_what_cannot_be_fitted(place, path):
    with pytest.raises(DataError, match="not between 0 and") as caught:
        work(asked(path, 25.0, 0.0))
    assert str(path) in str(caught.value)
    empty = place.source_folder(11) / "ws_prism_clear_11_spec.fits"
    spectrum = served.spectrum(source=11)
    empty.parent.mkdir()
    masked = np.ones(spectrum.wave.size, dtype=bool)
    masked[:15] = False
    Spectrum(spectrum.wave, spectrum.flux, spectrum.err, masked, meta=spectrum.meta).write(empty)
    for window in (0.0, 0.05, None):
        with pytest.raises(DataError, match="usable pixels"):
            work(asked(empty, 1.0, window))
    odd = place.source_folder(11) / "odd_spec.fits"
    meta = spectrum.meta | {"GRATING": ("MIRROR", "")}
    Spectrum(spectrum.wave, spectrum.flux, spectrum.err, spectrum.mask, meta=meta).write(odd)
    with pytest.raises(DataError, match="unknown grating 'MIRROR'"):
        work(asked(odd, 1.0, 0.05))


class HandMade(Fitter):
    """Fits in this process, one at a time, when they are let go."""

    def __init__(self):
        super().__init__()
        self.go, self.begun, self.log = threading.Event(), threading.Event(), []

    def _ask(self, asked):
        self.begun.set()
        assert self.go.wait(PATIENCE)
        self.log.append(asked)
        return work(asked)


@pytest.fixture
def page(place):
    made = served.client(place, fitter=HandMade())
    yield made
    served.closed(made)


def test_the_routes_give_what_the_engine_gives(page, engine):
    page.app.state.fitter.go.set()
    found = page.get(f"/api/model/7/{KEY}", params={"z": 2.0})
    meta, arrays = unpack(found.content)
    assert found.status_code == 200 and meta["z"] == 2.0 and meta["dchi2"] == pytest.approx(meta["chi2"] - 300.0)
    assert arrays["model"].shape == (380,)
    body = {"source": 7, "key": KEY, "z": engine.z_best + 0.01}
    found = page.post("/api/refit", json=body, headers=served.CHANGE)
    meta, arrays = unpack(found.content)
    assert meta["z"] == pytest.approx(engine.z_best, abs=1e-6) and set(arrays) == {"z", "dchi2", "p", "model"}
    meta, _ = unpack(page.post("/api/refit", json=body | {"full": True}, headers=served.CHANGE).content)
    assert meta["zprob"] == engine.probability
    near, far = page.app.state.fitter.log[1:]
    assert (near.window, far.window) == (0.05, None)


@pytest.mark.parametrize(("name", "status"), [("7/g395m_f290lp", 404), ("99/prism_clear", 404), ("9/prism_clear", 200)])
def test_spectra_that_are_there_or_not(page, name, status):
    page.app.state.fitter.go.set()
    found = page.get(f"/api/model/{name}", params={"z": 1.0})
    assert found.status_code == status
    if status == 200:
        assert unpack(found.content)[0]["dchi2"] is None, "without a fit there is no lowest chi2"


@pytest.mark.parametrize("z", ["", "x", "nan", "inf", "-0.1", "1e9", "20.5", "0x1"])
def test_redshifts_that_are_none(page, z):
    assert page.get(f"/api/model/7/{KEY}", params={"z": z}).status_code == 422
    assert page.get(f"/api/model/7/{KEY}").status_code == 422


def test_votes_and_objects_do_not_wait_for_a_fit(page):
    fits, answers = page.app.state.fitter, []
    body = {"source": 7, "key": KEY, "z": 2.3}
    others = [
        threading.Thread(
            target=lambda: answers.append(page.post("/api/refit", json=body, headers=served.CHANGE).status_code)
        )
        for _ in range(6)
    ]
    with page:  # one event loop for all
        for one in others:
            one.start()
        assert fits.begun.wait(PATIENCE)
        vote = {"uuid": "6b8c0bd2-0a5a-4f3a-8f14-6a8f3b6d0001", "source": 7, "z": 2.3, "quality": 3, "flags": {}}
        vote |= {"comment": "", "tags": [], "seen": {}}
        for _ in range(20):
            assert page.get("/api/object/8").status_code == 200
            assert page.post("/api/votes", json=vote, headers=served.CHANGE).status_code == 200
        assert not answers and not fits.log, "all this while the fit was held"
        fits.go.set()
        for one in others:
            one.join(PATIENCE)
    assert answers == [200] * 6 and len(fits.log) == 6


def test_too_many_fits_are_refused_and_forgotten_ones_left_out(monkeypatch, path):
    monkeypatch.setattr(fitting, "LONGEST_QUEUE", 2)
    fits, told = HandMade(), []

    async def gone():
        return True

    async def one(**how):
        try:
            await fits.fit(asked(path, 2.0, 0.0), **how)
            told.append("done")
        except Refusal as refusal:
            told.append((refusal.status, refusal.error))

    async def run():
        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await asyncio.to_thread(fits.begun.wait, PATIENCE)
            group.start_soon(one)
            group.start_soon(lambda: one(gone=gone))
            with anyio.fail_after(PATIENCE):
                while fits._turn.statistics().tasks_waiting < 2:
                    await asyncio.sleep(0)
            await one()
            fits.go.set()

    asyncio.run(run())
    assert told == [(409, "too many fits are waiting"), "done", "done", (409, "nobody waits for this fit any more")]
    assert len(fits.log) == 2


@pytest.mark.slow
def test_the_process_fits_and_is_replaced_when_it_dies(path, engine):
    async def fit(fits, *how):
        return (await fits.fit(asked(path, *how)))[0]

    with closing(Fitter()) as fits:
        fits.start()
        meta = asyncio.run(fit(fits, engine.z_best, 0.05))
        assert meta["z"] == pytest.approx(engine.z_best, abs=1e-6)
        start = time.monotonic()
        asyncio.run(fit(fits, engine.z_best, 0.05))
        assert time.monotonic() - start < 0.5
        with pytest.raises(DataError, match="not between"):
            asyncio.run(fit(fits, 25.0, 0.0))
        process = fits._process
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert asyncio.run(fit(fits, 2.0, 0.0))["z"] == 2.0, "a new one"
        os.kill(fits._process.pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (fits._process.pid, signal.SIGKILL)).start()
        with pytest.raises(Refusal, match="ended unexpectedly"):
            asyncio.run(fit(fits, 2.0, 0.0))
    assert fits._process is None
    with pytest.raises(Refusal, match="is ending"):
        asyncio.run(fit(fits, 2.0, 0.0))
