"""Region files as DS9 writes them; what is wrong with a file, line by line; masks put together and written."""

from __future__ import annotations

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.products.regions import (
    canonical_mask,
    check_mask,
    draw_mask,
    join_masks,
    mask_of_regions,
    read_masks,
    read_region_file,
    write_polygons,
)

SHAPE = (60, 80)
DS9 = """# Region file format: DS9 version 4.1
# Filename: jw01345062001_03101_00001_nrs1_rate.fits[SCI]
global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 highlite=1 dash=0 fixed=0 edit=1 \
move=1 delete=1 include=1 source=1
image
polygon(10.5,10.5,20.5,10.5,20.5,16.5,10.5,16.5) # color=#ff8800 width=2 text={short; on output 3} tag={Group 1}
circle(40,30,6.5) # dash=1
-circle(40,30,2.5) # color=red
ellipse(60,20,8,3,30) # background
box(25.5,45.5,11,5,45)
annulus(60,45,3,6,9)
# text(15,20) textangle=30 color=cyan text={look here}
# vector(30,30,10,45) vector=1
# composite(50,50,0) || composite=1
circle(70,55,2) || # color=red
circle(75,55,2)
"""
SHORT = "physical;circle(40,30,6.5);-circle(40,30,2.5)"


@pytest.fixture
def centres():
    """Column and row of the pixel centres, as DS9 counts."""
    y, x = np.indices(SHAPE) + 1.0
    return x, y


def test_what_ds9_writes(centres):
    x, y = centres
    drawn = draw_mask(DS9, SHAPE)
    assert (drawn.regions, drawn.problems) == (9, []), "an annulus of three radii is two regions"
    assert drawn.mask[10:16, 10:20].all() and not drawn.mask[16:19, 10:20].any()
    ring = np.hypot(x - 40, y - 30)
    near = ring < 8
    assert np.array_equal(drawn.mask[near], ((ring < 6.5) & (ring > 2.5))[near])
    assert drawn.mask[54, 69] and drawn.mask[54, 74]
    assert not drawn.mask[44, 59] and drawn.mask[44, 63] and drawn.mask[44, 66]
    along = (x - 60) * np.cos(np.pi / 6) + (y - 20) * np.sin(np.pi / 6)
    across = (y - 20) * np.cos(np.pi / 6) - (x - 60) * np.sin(np.pi / 6)
    near = np.hypot(x - 60, y - 20) < 10
    assert np.array_equal(drawn.mask[near], ((along / 8) ** 2 + (across / 3) ** 2 < 1)[near])


@pytest.mark.parametrize(
    "other",
    [
        SHORT,
        SHORT.replace(";", "\r\n").upper(),
        "\ufeffimage\ncircle 40 30 6.5\n-circle 40,30,2.5 # include",
        "circle(40,30,6.5)\n-circle(40,30,2.5)",
        "IMAGE; circle( 40i , 30i , 6.5i )\n  - circle(40,30,2.5)".replace("- ", "-"),
    ],
)
def test_the_same_mask_in_other_words(other, tmp_path, centres):
    file = tmp_path / "other.reg"
    file.write_bytes(other.encode())
    ring = np.hypot(centres[0] - 40, centres[1] - 30)
    assert np.array_equal(mask_of_regions(read_region_file(file), SHAPE), (ring < 6.5) & (ring > 2.5))


def test_only_what_changes_pixels_changes_the_text():
    plain = canonical_mask(DS9)
    for before, after in (("color=green", "color=red"), ("short; on", "was short on"), ("width=1", "width=3")):
        assert canonical_mask(DS9.replace(before, after)) == plain
    assert canonical_mask(DS9.replace("40,30,6.5", "40,30,6.6")) != plain
    assert np.array_equal(mask_of_regions(plain, SHAPE), mask_of_regions(DS9, SHAPE))


def test_masks_put_together_are_each_drawn_for_itself(centres):
    whole = "image\nbox(40,30,20,20,0)"
    both = join_masks([DS9, whole])
    assert np.array_equal(mask_of_regions(both, SHAPE), mask_of_regions(DS9, SHAPE) | mask_of_regions(whole, SHAPE))
    assert mask_of_regions(both, SHAPE)[29, 39], "what one takes out the other may mask"
    assert join_masks(["", DS9, "# nothing", DS9]) == canonical_mask(DS9)
    assert join_masks([]) == ""


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("cirle(5,5,2)", "did you mean circle?"),
        ("polygn(1,1,9,1,9,9)", "did you mean polygon?"),
        ("circle(5,5)", "circle takes x, y, radius"),
        ("circle(5,5,2,7)", "circle takes x, y, radius"),
        ("box(5,5,2,7)", "box takes x, y, width, height, angle"),
        ("polygon(1,1,9,1,9,9,4)", "polygon takes x and y of three or more corners"),
        ("polygon(1,1,5", "is a parenthesis missing?"),
        ("circle(5,five,2)", "cannot be read"),
        ("circle(5,5,2')", "must not be in angular units"),
        ("circle(12:30:45.1,-2:10:11,2)", "cannot be read"),
        ("circle(5,5,-2)", "strictly positive"),
        ("circle(inf,5,2)", "without area"),
        ("polygon(1,1,5,5,9,9)", "without area"),
        ("circle(500,5,2)", "covers no pixel of the detector (columns 1 to 80, rows 1 to 60)"),
        ("panda(40,30,0,360,4,2,7,1)", "not a region that can be used"),
        ("line(1,1,30,30)", "not a region that can be used"),
        ("garbage", "not a region that can be used"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line, wanted):
    drawn = draw_mask(f"# a comment\nimage\n{line} # text={{x}}\nbox(40.5,30.5,4,4,0)", SHAPE, file="my.reg")
    (problem,) = drawn.problems
    assert f"line 3: {line}:" in problem.message and wanted in problem.message
    assert problem.file == "my.reg" and problem.remedy
    assert drawn.mask.sum() == 16, "the others are drawn"
    with pytest.raises(DataError, match="line 3"):
        mask_of_regions(f"\n\n{line}", SHAPE)


@pytest.mark.parametrize("system", ["fk5", "ICRS", "galactic", "wcs", "wcsa", "linear"])
def test_regions_on_the_sky_are_refused_once(system):
    drawn = draw_mask(f'{system}\ncircle(214.9,52.9,1")\ncircle(214.8,52.9,1")\nimage\ncircle(9,9,2)', SHAPE)
    (problem,) = drawn.problems
    assert "line 1" in problem.message and "not on the sky" in problem.message
    assert "'image'" in problem.remedy
    assert (drawn.regions, drawn.mask.any()) == (1, True)


def test_all_that_is_wrong_is_told():
    drawn = draw_mask("cirle(5,5,2)\ncircle(9,9,2)\n\ncircle(900,9,2)", SHAPE)
    assert [p.message.split(":")[0] for p in drawn.problems] == ["mask regions, line 1", "mask regions, line 4"]


def test_long_lines_are_shortened_in_messages():
    corners = ",".join(f"{k},{900 + k % 7}" for k in range(200))
    (problem,) = draw_mask(f"polygon({corners})", SHAPE).problems
    assert len(problem.message) < 200


def test_files_that_mask_nothing(tmp_path):
    assert "no region in this file" in check_mask("# nothing\nimage\n", tmp_path).problems[0].message
    assert "mask no pixel" in check_mask("-circle(5,5,2)", tmp_path).problems[0].message
    assert not check_mask("circle(2000,2000,5)", tmp_path).problems


def test_files_that_are_not_there_or_no_text(tmp_path):
    (tmp_path / "image.reg").write_bytes(b"SIMPLE\xff\xfe\x00")
    for name, wanted in (("absent.reg", "no such region file"), ("", "no such"), ("image.reg", "not a text file")):
        with pytest.raises(DataError, match=wanted) as caught:
            read_region_file(tmp_path / name)
        assert caught.value.file and caught.value.remedy


def test_the_masks_of_a_folder(tmp_path):
    assert read_masks(tmp_path / "masks") == {}
    for name in ("jw01345062001_03101_00001_nrs1", "ds9", "jw01345062001_03101_00001_nrs2_suggested"):
        (tmp_path / f"{name}.reg").write_text(SHORT)
    assert read_masks(tmp_path) == {"jw01345062001_03101_00001_nrs1": SHORT, "ds9": SHORT}


def test_polygons_that_were_written_are_read(tmp_path, centres):
    x, y = centres
    square = np.array([[9.5, 19.5], [29.5, 19.5], [29.5, 39.5], [9.5, 39.5]])
    write_polygons(tmp_path / "new" / "a.reg", [(square, "1: +7.0"), (square + 30, "2: -6.1")])
    drawn = draw_mask(read_region_file(tmp_path / "new" / "a.reg"), SHAPE)
    assert (drawn.regions, drawn.problems) == (2, [])
    assert np.array_equal(np.argwhere(drawn.mask).min(axis=0), [20, 10]), "counted from 0"
    assert np.array_equal(drawn.mask[:40], ((x > 10.5) & (x < 30.5) & (y > 20.5) & (y < 40.5))[:40])
