"""nods.toml is read as people write it, and mistakes are named."""

import pytest

from nirfire.errors import DataError
from nirfire.products.nod_lists import NodList, list_of, read_nod_lists

ROOT = "jw01345062001_03101"


def test_of_a_source_and_of_all(tmp_path):
    path = tmp_path / "nods.toml"
    path.write_text(
        f'[{ROOT}]\nall = {{ 3 = [], left_out = [5] }}\n101 = {{ 1 = [2, "05101_00001"], 3 = [1] }}\n'
        "-7 = { left_out = [1] }\n"
    )
    lists = read_nod_lists(path)
    mine = list_of(lists, ROOT, 101)
    assert mine.backgrounds == {"03101_00001": ("03101_00002", "05101_00001"), "03101_00003": ("03101_00001",)}
    assert mine.left_out == {"03101_00005"}
    assert list_of(lists, ROOT, -7).left_out == {"03101_00001", "03101_00005"}
    assert list_of(lists, ROOT, 9).backgrounds == {"03101_00003": ()}
    assert list_of(lists, "jw01345062001_05101", 101) == NodList()


def test_absent_is_empty(tmp_path):
    assert read_nod_lists(tmp_path / "none.toml") == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[{}]\n101 = {{ 1 = 2 }}", "101.1"),
        ("[{}]\n101 = {{ 1 = [0] }}", "101.1"),
        ("[{}]\n101 = {{ 1 = [1, 2] }}", "its own"),
        ("[{}]\n101 = {{ one = [2] }}", "101.one"),
        ("[{}]\n101 = [1]", "101"),
        ("[{}]\nmine = {{ 1 = [2] }}", "mine"),
        ("[jw1]\n101 = {{ 1 = [2] }}", "jw1"),
        ("[{}\n", "TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, key):
    path = tmp_path / "nods.toml"
    path.write_text(text.format(ROOT))
    with pytest.raises(DataError, match=rf"(?s)(?=.*nods\.toml)(?=.*{key})"):
        read_nod_lists(path)
