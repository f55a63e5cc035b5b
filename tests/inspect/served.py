"""A small workspace of made-up spectra, and its page for a client without a browser."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from astropy.table import Table

from nirfire.inspect.app import create_app
from nirfire.inspect.context import Context
from nirfire.inspect.store import Store
from nirfire.pipeline.target import Observation
from nirfire.products.joint_redshift import JointFit
from nirfire.products.naming import SPEC, Workspace, zfit_of
from nirfire.products.provenance import Provenance, recording
from nirfire.products.spectrum import Spectrum
from nirfire.products.zfit import RedshiftFit

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

TOKEN, PORT = "t0ken-of-the-test", 8123
HERE = f"http://127.0.0.1:{PORT}"
ASK = {"X-Nirfire-Token": TOKEN}
CHANGE = ASK | {"X-Nirfire": "1", "Content-Type": "application/json"}
LINES = {0.486268: 2.0, 0.496030: 2.2, 0.500824: 6.6, 0.656461: 5.7, 0.372709: 3.0}  # um: relative flux
Z = 2.345


def spectrum(grating: str = "PRISM", source: int = 7, n_wave: int = 380) -> Spectrum:
    """Lines at redshift `Z` over a faint continuum, a 2D image, two boxcars and three exposures."""
    rng = np.random.default_rng(source)
    low, high, sigma = (0.62, 5.28, 0.012) if grating == "PRISM" else (2.9, 5.1, 0.0016)
    wave = np.linspace(low, high, n_wave)
    flux = np.full(n_wave, 0.4)
    for rest, height in LINES.items():
        flux += 0.3 * height * np.exp(-0.5 * ((wave - rest * (1.0 + Z)) / sigma) ** 2)
    err = np.full(n_wave, 0.04)
    flux += rng.normal(0.0, 0.04, n_wave)
    mask = np.zeros(n_wave, dtype=bool)
    mask[[0, 100]] = True
    image = rng.normal(0.0, 0.02, (9, n_wave)) + flux * np.exp(-0.5 * (np.arange(9)[:, None] - 4.0) ** 2)
    exposures = {"nod_overlap": [0.01, 0.02, 0.01], "stuck_shutter_list": ["N/A", "3", "N/A"], "sky": ["nods"] * 3}
    filter_ = "CLEAR" if grating == "PRISM" else "F290LP"
    cards = {
        "SOURCEID": source,
        "SRCNAME": f"1234_{source}",
        "GRATING": grating,
        "FILTER": filter_,
        "RA": 53.1,
        "DEC": -27.8,
    }
    return Spectrum(
        wave=wave,
        flux=flux,
        err=err,
        mask=mask,
        boxes={3: (flux * 0.9, err), 5: (flux, err * 1.3)},
        correlation=np.full((2, n_wave), 0.1),
        sci=image,
        err2d=np.full(image.shape, 0.02),
        profiles={"ypos": np.arange(9.0) - 4.0, "opt": np.full(9, 1 / 9), "3px": np.zeros(9), "5px": np.zeros(9)},
        exposures=Table(exposures),
        meta={key: (value, "") for key, value in (cards | {"EXPTIME": 5400.0, "NEXPOSUR": 3}).items()},
    )


def fit(given: Spectrum, z: float = Z) -> RedshiftFit:
    """A fit that was not made by the engine, with one rival and one line."""
    grid = np.linspace(0.0, 8.0, 400)
    chi2 = 300.0 + np.minimum((grid - z) ** 2 / 1e-4, 80.0)
    row = {"name": "Ha", "line": "Ha", "blended_with": "", "wave_rest": 0.656461, "wave_obs": 0.656461 * (1 + z)}
    numbers = {"flux": 1e-18, "flux_err": 1e-19, "snr": 10.0, "limit": 1e-18, "ew_rest": np.nan, "n_pix": 5}
    return RedshiftFit(
        z=z,
        z_err=0.001,
        confidence=0.9,
        chi2_min=300.0,
        n_pix=370,
        wave=given.wave,
        model=np.where(given.mask, np.nan, 0.4),
        z_grid=grid,
        chi2=chi2,
        peaks=Table({"z": [z, 5.1], "z_err": [0.001, np.nan], "chi2": [300.0, 380.0], "dchi2": [0.0, 80.0]}),
        meta={key: given.meta[key] for key in ("SOURCEID", "SRCNAME", "GRATING", "FILTER")},
        probability=0.97,
        warning=64,
        lines=Table(rows=[row | numbers], units=None),
        template_class="galaxy",
        dof=360,
        snr=9.5,
    )


def write_source(place: Workspace, source: int, gratings: tuple[str, ...] = ("PRISM",), *, fitted: bool = True) -> None:
    """The products of a source: PRISM at `Z`, others at Z + 0.001."""
    for k, grating in enumerate(gratings):
        made = spectrum(grating, source)
        path = place.combined(source, grating, str(made.meta["FILTER"][0]), SPEC)
        path.parent.mkdir(parents=True, exist_ok=True)
        with recording(Provenance("{}", f"5pec{k}{source:011d}", "logs/x.log")):
            made.write(path)
        if fitted:
            with recording(Provenance("{}", f"f17{k}{source:012d}", "logs/x.log")):
                fit(made, Z + 0.001 * k).write(zfit_of(path))


def write_joint(place: Workspace, source: int, z: float) -> None:
    """A redshift of all gratings."""
    names = {"grating": ["PRISM"], "filter": ["CLEAR"], "filename": ["x"], "z": [z], "z_err": [0.001]}
    numbers = {name: [1.0] for name in ("probability", "velocity_err", "offset", "offset_err", "support")}
    JointFit(
        z=z,
        z_err=0.0005,
        probability=0.999,
        warning=0,
        consensus=z,
        said_by="PRISM",
        gratings=Table(names | numbers),
        peaks=Table({"z": [z], "z_err": [0.0005], "probability": [0.999]}),
        z_grid=np.linspace(2.0, 3.0, 50),
        density=np.full(50, 1.0),
        meta={"SOURCEID": (source, "")},
    ).write(place.joint_zfit(source))


def made_workspace(folder: Path) -> Workspace:
    """Source 7 in PRISM; 8 in PRISM and G395M with a joint redshift; 9 without a fit."""
    place = Workspace(folder, "ws")
    write_source(place, 7)
    write_source(place, 8, ("PRISM", "G395M"))
    write_joint(place, 8, 2.3456)
    write_source(place, 9, fitted=False)
    return place


def client(place: Workspace, user: str = "ann", *, blind: bool = False, **more: object) -> TestClient:
    """A client of the page that has the token; close its store with `closed`."""
    context = Context(Observation(place, place.folder), Store.open(place.inspection), user, blind)
    app = create_app(context, TOKEN, **more)  # type: ignore[arg-type]
    return TestClient(app, base_url=HERE, headers=ASK, raise_server_exceptions=False)


def closed(given: TestClient) -> None:
    """Close what a client's page holds open."""
    given.app.state.fitter.close()  # type: ignore[attr-defined]
    given.app.state.context.store.close()  # type: ignore[attr-defined]
