"""Masks from the page: polygons are added, what stands there by hand is kept; and exposures as images."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from nirfire.core.background import Sky
from nirfire.errors import DataError
from nirfire.inspect.edits import Unchanged, read_text
from nirfire.inspect.masks import change_mask, clear_mask, read_mask, read_suggested, runs_of
from nirfire.inspect.rates import rate_picture
from nirfire.products.naming import SUGGESTED, ExposureName, Workspace
from nirfire.products.regions import check_mask, mask_of_regions, write_polygons

NAME = ExposureName("jw01345062001_03101_00001_nrs1")
SHAPE = (2048, 2048)
BOX = [[10.0, 20.0], [19.0, 20.0], [19.0, 24.0], [10.0, 24.0]]
LATER = [[110.25, 20.0], [119.0, 20.0], [119.0, 24.0]]
BY_HAND = """# Region file format: DS9 version 4.1
global color=green
image; circle(400,300,20.5) # color=red text={short}
-circle(400,300,4.5)
"""
pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def place(tmp_path):
    return Workspace(tmp_path, "ws")


def test_a_polygon_masks_the_pixels_that_were_drawn(place):
    path = change_mask(place, NAME, [BOX], [], "Ada}\n{")
    assert path == place.mask(NAME)
    mask = mask_of_regions(path.read_text(), SHAPE)
    inside = np.zeros(SHAPE, bool)
    inside[21:24, 11:19] = True
    assert np.array_equal(mask[:40, 12:18], inside[:40, 12:18] | mask[:40, 12:18]) and mask[22, 11:19].all()
    assert mask.sum() == mask[20:25, 10:20].sum() and not mask[22, 20] and not mask[25, 12]
    text = path.read_text()
    assert "polygon(11,21,20,21,20,25,11,25) # text={inspect Ada}\n" in text, "DS9 counts from 1"
    assert not check_mask(text, path).problems
    (region,) = read_mask(place, NAME).regions
    assert region.drawn and np.allclose(region.points, BOX)


def test_what_stands_there_by_hand_is_kept(place):
    place.masks.mkdir()
    place.mask(NAME).write_bytes(BY_HAND.replace("\n", "\r\n").encode())
    change_mask(place, NAME, [BOX], [], "Ada")
    change_mask(place, NAME, [LATER], [], "Ben")
    text = place.mask(NAME).read_bytes().decode()
    assert text.startswith(BY_HAND.replace("\n", "\r\n")) and text.count("image") == 1
    assert text.count("\n") == text.count("\r\n") == BY_HAND.count("\n") + 2
    found = read_mask(place, NAME)
    assert [(r.drawn, r.excluded) for r in found.regions] == [
        (False, False),
        (False, True),
        (True, False),
        (True, False),
    ]
    mask = mask_of_regions(text, SHAPE)
    assert np.array_equal(mask, mask_of_regions(BY_HAND, SHAPE) | mask_of_regions(text.partition("4.5)")[2], SHAPE))
    lines = [region.text for region in found.regions]
    change_mask(place, NAME, [], lines, "Ada")
    assert place.mask(NAME).read_bytes().decode() == BY_HAND.replace("\n", "\r\n"), "by hand stays, whoever asks"


def test_sending_twice_changes_nothing_and_the_last_one_takes_the_file_with_it(place):
    for _ in range(2):
        change_mask(place, NAME, [BOX, LATER], [], "Ada")
    lines = [region.text for region in read_mask(place, NAME).regions]
    assert len(lines) == 2
    change_mask(place, NAME, [], lines[:1], "Ada")
    for _ in range(2):
        change_mask(place, NAME, [], lines, "Ada")
        assert not place.mask(NAME).exists()
    assert clear_mask(place, NAME) is None
    change_mask(place, NAME, [BOX], [], "Ada")
    assert clear_mask(place, NAME) == place.mask(NAME) and not place.mask(NAME).exists()


def test_notes_stay_when_the_last_region_goes(place):
    place.masks.mkdir()
    for note in ("# short at the top, see the log\n", "\ufeff# with a byte-order mark\r\n"):
        place.mask(NAME).write_bytes(note.encode())
        change_mask(place, NAME, [BOX], [], "Ada")
        change_mask(place, NAME, [], [region.text for region in read_mask(place, NAME).regions], "Ada")
        assert place.mask(NAME).read_bytes().decode().startswith(note) and read_mask(place, NAME).regions == []


def test_what_ds9_saves_in_the_midst_of_an_edit_stays(place, monkeypatch):
    place.masks.mkdir()
    place.mask(NAME).write_text(BY_HAND)
    more = BY_HAND + "box(700,700,20,20,0)\n"
    looks = []

    def read(path):
        looks.append(path)
        if len(looks) == 2:
            place.mask(NAME).write_text(more)
        return read_text(path)

    monkeypatch.setattr("nirfire.inspect.edits.read_text", read)
    change_mask(place, NAME, [BOX], [], "Ada")
    assert place.mask(NAME).read_text().startswith(more) and len(read_mask(place, NAME).regions) == 4


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[0, 0], [5, 5], [9, 9]], "area|no pixel"),
        ([[-300, -300], [-200, -300], [-200, -200]], "no pixel"),
        ([[5.1, 5.1], [5.2, 5.1], [5.2, 5.2]], "no pixel"),
    ],
)
def test_polygons_that_mask_nothing_are_refused(place, points, said):
    with pytest.raises(DataError, match=said) as caught:
        change_mask(place, NAME, [BOX, points], [], "Ada")
    assert caught.value.remedy and not place.mask(NAME).exists()


@pytest.mark.parametrize(("text", "at"), [("image\ncirle(9,9,2)\n", 2), ('fk5\ncircle(214.9,52.9,1")\n', 1)])
def test_a_file_that_cannot_be_used_is_left_alone(place, text, at):
    place.masks.mkdir()
    place.mask(NAME).write_text(text)
    with pytest.raises(Unchanged, match=f"line {at}") as caught:
        change_mask(place, NAME, [BOX], [], "Ada")
    assert caught.value.file == place.mask(NAME) and place.mask(NAME).read_text() == text
    assert f"line {at}" in read_mask(place, NAME).problem


def test_runs_are_the_pixels_that_are_masked(place):
    mask = np.zeros((5, 8), bool)
    mask[1, :3] = mask[1, 6:] = mask[4] = True
    assert runs_of(mask).tolist() == [[1, 0, 3], [1, 6, 8], [4, 0, 8]]
    change_mask(place, NAME, [BOX], [], "Ada")
    found = read_mask(place, NAME, listed="circle(400,300,20.5)\n-circle(400,300,4.5)")
    assert (found.runs[:, 2] - found.runs[:, 1]).sum() == (
        mask_of_regions(BY_HAND, SHAPE).sum() + mask_of_regions(place.mask(NAME).read_text(), SHAPE).sum()
    )


def test_suggestions(place):
    assert read_suggested(place, NAME) == []
    write_polygons(place.mask(NAME, SUGGESTED), [(np.array(LATER), "1: +9.1")])
    (region,) = read_suggested(place, NAME)
    assert np.allclose(region.points, LATER) and not region.drawn


def test_pictures_say_how_bright_a_pixel_is(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(0.0, 0.3, (128, 160)).astype(np.float32)
    values[40:44] += np.linspace(1, 300, 160)
    values[7, 7] = np.nan
    path = tmp_path / f"{NAME}_rate.fits"
    parts = {"SCI": values, "ERR": np.full(values.shape, 0.3, np.float32)}
    parts["BKGMASK"] = np.full(values.shape, Sky.FITTED, np.uint8)
    parts["BKGMASK"][38:46] = 0
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(data, name=name) for name, data in parts.items())]
    fits.HDUList(hdus).writeto(path)
    meta, image = rate_picture(path, "counts")
    assert image.dtype == np.uint8 and image.shape == values.shape
    assert [tuple(p) for p in np.argwhere(image == 0)] == [(7, 7)]
    scale = meta["scale"]
    level = scale["low"] + (scale["high"] - scale["low"]) * (image.astype(float) - 1) / 254
    back = scale["zero"] + scale["soft"] * np.sinh(level)
    unclipped = (image > 1) & (image < 255)
    step = (scale["high"] - scale["low"]) / 254
    assert unclipped.mean() > 0.95
    assert np.all(np.abs(back - values)[unclipped] <= step * np.hypot(scale["soft"], back - scale["zero"])[unclipped])
    assert rate_picture(path, "counts")[1] is image, "kept until the file changes"
    meta, image = rate_picture(path, "sky")
    assert meta["bin"] == 4 and image.shape == (32, 40) and image.max() > 0
    assert abs(float(np.median(image[image > 0])) - 128) < 60, "no sky is left: the middle of the scale"
