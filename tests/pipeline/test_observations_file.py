"""Reading `observations.toml`, choosing its files, and masks in the notation of DS9."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.pipeline.config_doc import reference_page
from nirfire.pipeline.observations_file import canonical_mask, read_observations, select_files, unused_masks
from nirfire.products.regions import mask_of_regions

REQUIRED = 'field = "EGS"\nprogram = "ceers"\ndata_subdir = "raw"\nfiles = "jw01345062001_*"\n'
EXPOSURE = "jw01345062001_03101_00002_nrs1"
SQUARE = "image\npolygon(2.5, 3.5, 6.5, 3.5, 6.5, 5.5, 2.5, 5.5)"


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "observations.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def one(toml):
    """Reads one observation `p1` made of the required keys and what is given."""

    def read(more="", required=REQUIRED):
        return read_observations(toml(f"[p1]\n{required}{more}"))["p1"]

    return read


def complaint(read, *arguments, **keywords):
    with pytest.raises(DataError) as caught:
        read(*arguments, **keywords)
    return str(caught.value)


def test_what_is_required_suffices(one, tmp_path):
    spec = one()
    assert (spec.name, spec.field, spec.program, spec.program_id) == ("p1", "EGS", "ceers", "01345")
    assert spec.folder == tmp_path / "raw" and spec.source == tmp_path / "observations.toml"
    assert spec.files == ("jw01345062001_*",) and spec.gratings is None
    assert (spec.config_groups, spec.masks, spec.overrides) == ((), {}, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "p2"


def test_everything(one, tmp_path):
    (tmp_path / "hot.reg").write_text(SQUARE)
    spec = one(
        'gratings = ["prism", "G395M"]\nprogram_id = 1181\nconfig_groups = [["03101", "05101"], ["07101"]]\n'
        f"[p1.masks]\n{EXPOSURE}_rate = '''\n{SQUARE}\n'''\n{EXPOSURE[:-1]}2 = 'hot.reg'\n"
        "[p1.clean]\nn_iter = 3\n[p1.detector.steps.jump]\nrejection_threshold = 5\n[p1.execution]\nretries = 0\n"
    )
    assert spec.gratings == {"PRISM", "G395M"} and spec.program_id == "01181"
    assert spec.config_groups == (("03101", "05101"), ("07101",))
    assert spec.masks == {EXPOSURE: SQUARE + "\n", EXPOSURE[:-1] + "2": SQUARE}
    assert spec.overrides == {
        "clean": {"n_iter": 3},
        "detector": {"steps": {"jump": {"rejection_threshold": 5}}},
        "execution": {"retries": 0},
    }


def test_absolute_folders_stay(one, tmp_path):
    spec = one(required=REQUIRED.replace('"raw"', f'"{tmp_path / "elsewhere"}"'))
    assert spec.folder == tmp_path / "elsewhere"


def test_several_observations_keep_their_order(toml):
    found = read_observations(toml(f"[z]\n{REQUIRED}[a]\n{REQUIRED}"))
    assert list(found) == ["z", "a"]


@pytest.mark.parametrize("key", ["field", "program", "data_subdir", "files"])
def test_required_keys(one, key):
    required = "".join(f"{line}\n" for line in REQUIRED.splitlines() if not line.startswith(key))
    text = complaint(one, required=required)
    assert "missing" in text and f"p1.{key}" in text


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("feild = 'x'", "did you mean field?"),
        ("grating = 'PRISM'", "did you mean gratings?"),
        ("[p1.claen]\nn_iter = 3", "did you mean clean?"),
        ("[p1.stage1]\nn_iter = 3", "valid names: field, program"),
        ("[p1.clean]\nniter = 3", "did you mean clean.n_iter?"),
        ("[p1.clean]\nn_iter = 0", "0 given; must be a whole number >= 1"),
        ("clean = 3", "3 given; must be a table"),
        ("[p1.cluster]\nnodes = 1", "user configuration file"),
        ("gratings = 'G140X'", "did you mean G140"),
        ("gratings = 3", "must be text or a list of texts"),
        ("program_id = 'ceers'", "must be a number"),
        ("config_groups = ['03101']", "list of lists"),
        ("config_groups = [['3101']]", "five digits"),
        ("config_groups = [[3101]]", "five digits"),
        ("config_groups = [['03101', '05101'], ['05101']]", "05101 stands twice"),
        ("config_groups = [['03101', '03101']]", "03101 stands twice"),
        ("masks = 3", "table of exposure = regions"),
        ("[p1.masks]\njw01345 = 'image'", "not an exposure"),
        (f"[p1.masks]\n{EXPOSURE} = 'image'\n{EXPOSURE}_rate = 'image'", "has two masks"),
        (f"[p1.masks]\n{EXPOSURE} = 3", "must be DS9 regions"),
        (f"[p1.masks]\n{EXPOSURE} = 'absent.reg'", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(one, more, wanted):
    text = complaint(one, more)
    assert wanted in text and "p1." in text and "observations.toml" in text


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ("'~jw*'", "all patterns exclude"),
        ("[]", "text or a list of texts"),
        ("3", "text or a list of texts"),
        ("'sub/jw01345*'", "without folders"),
        ("'*_03101_*'", "p1.program_id"),
    ],
)
def test_wrong_patterns(one, files, wanted):
    assert wanted in complaint(one, required=REQUIRED.replace('"jw01345062001_*"', files))


def test_all_problems_come_at_once(toml):
    text = complaint(read_observations, toml(f"[p1]\n{REQUIRED}feild = 1\n[p1.clean]\nniter = 3\n[p2]\nprogram = 3\n"))
    for key in ("p1.feild", "p1.clean.niter", "p2.field", "p2.program", "p2.data_subdir", "p2.files"):
        assert key in text


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("", "no observation"),
        ("field = 'EGS'", "in the table of an observation"),
        (f"['a/b']\n{REQUIRED}", "letters, digits"),
        (f"[p1]\n{REQUIRED}[P1]\n{REQUIRED}", "in capitals only"),
        (f"[p1]\n{REQUIRED}[p1]\n{REQUIRED}", "line 6"),
        ("[p1]\nfield =\n", "line 2"),
    ],
)
def test_files_that_cannot_be_used(toml, content, wanted):
    assert wanted in complaint(read_observations, toml(content))


def test_an_absent_file_is_named(tmp_path):
    assert "observations.toml" in complaint(read_observations, tmp_path / "observations.toml")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    (folder / "below").mkdir(parents=True)
    for nod in (1, 2, 3):
        for detector in (1, 2):
            (folder / f"jw01345062001_03101_0000{nod}_nrs{detector}_uncal.fits").touch()
    for name in ("jw01345062001_01_msa.fits", "jw01345063001_03101_00001_nrs1_uncal.fits", "notes.fits", "jw0.txt"):
        (folder / name).touch()
    (folder / "below" / "jw01345062001_03101_00009_nrs1_uncal.fits").touch()
    return folder


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ("'jw01345062001_*'", 7),
        ("'jw01345062001_03101'", 6),
        ("'jw01345062001_03101_*_nrs1'", 3),
        ("'jw01345062001_03101_*_nrs1_uncal.fits'", 3),
        ("['jw01345062001_03101', 'jw01345063001']", 7),
        ("['jw01345062001_03101', '~*_00001_*']", 4),
        ("['~*_00001_*', 'jw01345062001_03101']", 4),
        ("['jw01345*', '~*_nrs2', '~*_msa.fits']", 4),
        ("['jw01345*', '~jw01345062001_03101_00003_nrs2_uncal.fits']", 7),
    ],
)
def test_selected_files(one, raw, files, number):
    found = select_files(one(required=REQUIRED.replace('"jw01345062001_*"', files)))
    assert len(found) == number and found == sorted(found)
    assert all(path.parent == raw and path.is_file() for path in found)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ("['jw01345062001_*', 'jw09999*']", "'jw09999*'"),
        ("['jw01345062001_*', '~*_nrs3']", "'~*_nrs3'"),
        ("['jw01345062001_*', '~jw*']", "exclude every file"),
        ("'jw01345062001_03101_00001_nrs1.fits'", "matches"),
    ],
)
def test_patterns_that_choose_nothing(one, raw, files, wanted):
    spec = one(required=REQUIRED.replace('"jw01345062001_*"', files))
    text = complaint(select_files, spec)
    assert wanted in text and "p1.files" in text


def test_absent_folder(one):
    assert "p1.data_subdir" in complaint(select_files, one())


def test_masks_without_exposure_are_told(one, raw):
    spec = one(f"[p1.masks]\n{EXPOSURE} = 'image'\n{EXPOSURE.replace('00002', '00008')} = 'image'\n")
    assert unused_masks(spec, select_files(spec)) == [EXPOSURE.replace("00002", "00008")]


def test_the_example_of_the_docs_can_be_read(toml):
    example = reference_page().split("## `observations.toml`")[1].split("```toml\n")[1].split("```")[0]
    spec = read_observations(toml(example))["ceers-p1"]
    assert mask_of_regions(next(iter(spec.masks.values())), (2048, 2048)).sum() > 0


def test_comments_and_blanks_mean_nothing_to_a_mask():
    text = "# Region file format: DS9\n\n  image  \ncircle(3,3,1) # color=red\n"
    assert canonical_mask(text) == canonical_mask("image\ncircle(3,3,1)") == "image\ncircle(3,3,1)"
    assert canonical_mask(text) != canonical_mask(text.replace("3,3,1", "3,3,2"))


def centres(shape):
    """Pixel centres as DS9 counts them, from 1."""
    y, x = np.indices(shape) + 1.0
    return x, y


def test_polygons_cover_the_pixels_whose_centres_they_hold():
    x, y = centres((10, 12))
    expected = (x > 2.5) & (x < 6.5) & (y > 3.5) & (y < 5.5)
    assert np.array_equal(mask_of_regions(SQUARE, (10, 12)), expected)
    backwards = "image\npolygon(2.5,5.5,6.5,5.5,6.5,3.5,2.5,3.5)"
    assert np.array_equal(mask_of_regions(backwards, (10, 12)), expected)


def test_a_triangle():
    x, y = centres((30, 30))
    found = mask_of_regions("image\npolygon(1.2, 1.1, 25.3, 1.1, 1.2, 25.2)", (30, 30))
    assert np.array_equal(found, (x > 1.2) & (y > 1.1) & (x + y < 26.4))


@pytest.mark.parametrize(
    ("region", "inside"),
    [
        ("circle(7.2, 5.1, 3.3)", lambda x, y: np.hypot(x - 7.2, y - 5.1) < 3.3),
        ("ellipse(7.2, 5.1, 4.4, 2.3, 0)", lambda x, y: np.hypot((x - 7.2) / 4.4, (y - 5.1) / 2.3) < 1),
        ("box(7.2, 5.1, 5, 3, 0)", lambda x, y: (abs(x - 7.2) < 2.5) & (abs(y - 5.1) < 1.5)),
        ("box(7.2, 5.1, 5, 3, 90)", lambda x, y: (abs(x - 7.2) < 1.5) & (abs(y - 5.1) < 2.5)),
    ],
)
def test_other_shapes(region, inside):
    shape = (14, 16)
    assert np.array_equal(mask_of_regions(f"image\n{region}", shape), inside(*centres(shape)))


def test_regions_add_up_and_excluded_ones_are_taken_out():
    shape = (10, 12)
    x, y = centres(shape)
    circles = mask_of_regions("image\ncircle(5,5,3.5)\n-circle(5,5,2.5)", shape)
    assert np.array_equal(circles, (np.hypot(x - 5, y - 5) < 3.5) & (np.hypot(x - 5, y - 5) > 2.5))
    found = mask_of_regions(f"{SQUARE}\ncircle(10,8,1.5)\n-box(3,4,1,1,0) # color=red", shape)
    square = (x > 2.5) & (x < 6.5) & (y > 3.5) & (y < 5.5)
    assert np.array_equal(found, (square | (np.hypot(x - 10, y - 8) < 1.5)) & ~((x == 3) & (y == 4)))


def test_regions_that_reach_over_the_edge():
    found = mask_of_regions("image\ncircle(0.5, 0.5, 1e7)", (5, 6))
    assert found.shape == (5, 6) and found.all()
    assert mask_of_regions("image\ncircle(1, 1, 1.2)", (5, 6)).sum() == 3


def test_only_comments_mask_nothing():
    assert not mask_of_regions("# Region file format: DS9\n# circle(3,3,1)\n", (5, 6)).any()


@pytest.mark.parametrize(
    "text",
    [
        'fk5\ncircle(214.9, 52.9, 1")',
        "image\npolygon(1,1,5",
        "image\npolygon(1,1,5,1,5,5,1)",
        "image\ncircle(5,5)",
        "image\ncircle(5,5,-2)",
        "image\ncircle(nan,5,2)",
        "image\nsquircle(5,5,2)",
        "image\npoint(3,3)",
        "image\nline(1,1,3,3)",
        "image\ncircle(500,5,2)",
        "garbage",
    ],
)
def test_regions_that_cannot_be_used_name_the_exposure(text):
    with pytest.raises(DataError) as caught:
        mask_of_regions(text, (20, 20), file=EXPOSURE)
    assert caught.value.file == EXPOSURE and caught.value.remedy
