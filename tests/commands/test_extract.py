"""`extract` outside a run: what options ask of the task, the sky that is chosen, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from nirfire.commands import extract as command
from nirfire.commands.extract import ExtractOptions
from nirfire.errors import DataError, NoWork
from nirfire.pipeline.target import Layers
from nirfire.products.slitcal import SlitCal
from nirfire.products.spectrum import Spectrum
from nirfire.tasks import extract as task

from ..tasks.test_nodsub import exposure, slit_file

SHAPE, SKY = (15, 40), 3.0
pytestmark = pytest.mark.usefixtures("quick_disk")


@dataclass
class Asked:
    """What the task was called with, and the files that it got."""

    slits: list[SlitCal] = field(default_factory=list)
    source: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)

    def __call__(self, inputs, spec, source, settings, **arguments):
        self.slits, self.source = [SlitCal.read(path) for path in inputs], source
        self.arguments, self.settings = arguments, settings
        spectrum(offset=0.0, size=0.1).write(spec)


def spectrum(**shape: float) -> Spectrum:
    wave = np.linspace(1.0, 5.0, 8)
    cards = {"SOURCEID": (7, ""), "GRATING": ("PRISM", ""), "NFMETHOD": ("model", "")}
    cards |= {{"offset": "NFOFFSET", "size": "NFSIZE"}[name]: (value, "") for name, value in shape.items()}
    if shape:
        cards |= {"NFOFFERR": (0.01, ""), "NFSIZERR": (0.0, "")}
    return Spectrum(wave, np.ones(8), np.ones(8), np.zeros(8, bool), meta=cards)


def cal(folder: Path, k: int, source: int = 7, grating: str = "PRISM", row: int = 3) -> Path:
    sci = np.full(SHAPE, SKY)
    sci[row] += 10.0
    path = slit_file(folder / f"{exposure(k)}_{source}_cal.fits", sci)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update({"GRATING": grating, "FILTER": "CLEAR"})
        hdus["SCI"].header["SOURCEID"] = source
    return path


@pytest.fixture
def cals(tmp_path: Path) -> list[Path]:
    return [cal(tmp_path, k, row=4 * k) for k in (1, 2, 3)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    monkeypatch.setattr(task, "extract", found)
    monkeypatch.setattr(command, "_enter", lambda cutouts, configuration: None)
    return found


def run(files: list[Path], *items: str, **options: Any) -> Path:
    out = files[0].parent / "7_spec.fits"
    command.extract(files, ExtractOptions(out, **options), Layers(None, items))
    return out


def test_a_file_with_its_sky_gets_that_of_the_other_nods(asked, cals, capsys):
    assert run(cals[::-1]).exists()
    assert asked.source == 7
    assert [slit.path.name[:30] for slit in asked.slits] == [exposure(k) for k in (1, 2, 3)]
    for slit, row in zip(asked.slits, (4, 8, 12), strict=True):
        assert slit.header["NFSKY"] == "nods"
        assert slit.sci[row] == pytest.approx(np.full(SHAPE[1], 10.0))
        assert np.abs(np.delete(slit.sci, (4, 8, 12), axis=0)).max() < 1e-6
    assert "PRISM" in capsys.readouterr().out
    assert sorted(path.name for path in cals[0].parent.iterdir())[0] == "7_spec.fits"  # nothing is left beside it
    assert len(list(cals[0].parent.iterdir())) == 4


def test_the_sky_may_stay(asked, cals):
    run(cals[:1], sky="none")  # a single nod will do
    (slit,) = asked.slits
    assert slit.header["NFSKY"] == "none"
    assert slit.sci == pytest.approx(SlitCal.read(cals[0]).sci)
    assert not slit.bkg.any()
    assert not slit.bkg_nods.any()
    assert not slit.var_bkg.any()


def test_a_single_nod_has_no_sky_of_others(asked, cals):
    with pytest.raises(NoWork, match="usable nods: 1"):
        run(cals[:1])


def test_place_and_size_are_those_asked_for(asked, cals):
    run(cals, place=0.05, size=0.2, fit=False)
    assert asked.arguments["shape"] == {"offset": 0.05, "size": 0.2, "fit": False}
    run(cals)
    assert asked.arguments["shape"] == {}
    run(cals, "extract.shapes.7.size=0.3", "extract.size_err=0.2", place=-0.1)
    assert asked.arguments["shape"] == {"size": 0.3, "fit": True, "offset": -0.1}
    assert asked.settings.size_err == 0.2


def test_those_of_another_source_are_taken_as_they_are(asked, cals, tmp_path):
    other = tmp_path / "other_spec.fits"
    spectrum(offset=-0.03, size=0.0).write(other)
    run(cals, like=other)  # an error of 0 is none
    assert asked.arguments["shape"] == {"offset": -0.03, "offset_err": 0.01, "size": 0.0, "fit": False}
    run(cals, like=other, place=0.1)
    assert asked.arguments["shape"] == {"offset": 0.1, "size": 0.0, "fit": False}
    spectrum().write(other)
    with pytest.raises(DataError, match=r"(?s)other_spec.*NFOFFSET.*remedy"):
        run(cals, like=other)


REFUSED = [
    ({"sky": "global"}, "--sky-model"),
    ({"sky_models": [Path("x_sky.fits")]}, "--sky global"),
    ({"sky": "global", "sky_models": [Path("x_cal.fits")]}, "no sky of an exposure"),
    ({"method": "horne", "size": 0.1}, "--method"),
    ({"method": "horne", "fit": False}, "--method"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_options_that_do_not_go_together(asked, cals, options, said):
    with pytest.raises(DataError, match=said) as error:
        run(cals, **options)
    assert error.value.key
    assert error.value.remedy


def test_files_that_do_not_go_together(asked, cals, tmp_path):
    for other, key in ((cal(tmp_path, 4, source=8), "SOURCEID"), (cal(tmp_path, 5, grating="G395M"), "GRATING")):
        with pytest.raises(DataError) as error:
            run([*cals, other])
        assert (error.value.key, error.value.file) == (key, other)
    (tmp_path / "twice").mkdir()
    with pytest.raises(DataError, match="same exposure"):
        run([*cals, cal(tmp_path / "twice", 1)])


def test_a_file_without_its_sky_is_taken_as_it_is(asked, cals):
    run(cals, sky="none")
    kept = [cals[0].with_name(slit.path.name) for slit in asked.slits]
    for path, source in zip(kept, cals, strict=True):
        command._as_it_is(source, path)
    run(kept)
    assert [slit.path for slit in asked.slits] == kept
    with pytest.raises(DataError, match="--sky") as error:
        run(kept, sky="nods")
    assert error.value.file == kept[0]
    with pytest.raises(DataError, match="BKG"):
        run([kept[0], cals[1]])


def test_other_files_are_named(asked, cals, tmp_path):
    odd = tmp_path / "something.fits"
    fits.PrimaryHDU().writeto(odd)
    with pytest.raises(DataError, match="something"):
        run([odd])
    rate = tmp_path / f"{exposure(9)}_rate.fits"
    fits.PrimaryHDU().writeto(rate)
    with pytest.raises(DataError, match="SCI"):
        run([rate])
