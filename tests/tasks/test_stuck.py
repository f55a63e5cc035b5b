"""The stuck list is read as people write it, and mistakes are named."""

import pytest

from nirfire.errors import DataError
from nirfire.tasks.stuck import read_stuck, write_stuck


def test_round_trip(tmp_path):
    path = tmp_path / "stuck.toml"
    content = {"jw01345062001_03101": {933: (1, 3), 12: (2,)}, "jw01345062001_05101": {12: (1,)}}
    write_stuck(path, content)
    assert read_stuck(path) == content


def test_absent_is_empty(tmp_path):
    assert read_stuck(tmp_path / "none.toml") == {}


@pytest.mark.parametrize("text", ["[a]\n933 = 3", "[a]\n933 = [0]", "[a]\nname = [1]", "[a\n933 = [1]"])
def test_mistakes_are_named(tmp_path, text):
    path = tmp_path / "stuck.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"stuck\.toml"):
        read_stuck(path)


def test_a_file_of_another_editor_is_read(tmp_path):
    path = tmp_path / "stuck.toml"
    path.write_bytes("\ufeff# größer\r\n[jw01345062001_03101]\r\n933 = [3]\r\n".encode())
    assert read_stuck(path) == {"jw01345062001_03101": {933: (3,)}}
    path.write_bytes("# größer".encode("latin-1"))
    with pytest.raises(DataError, match="not a text file") as caught:
        read_stuck(path)
    assert caught.value.file == path and "UTF-8" in caught.value.remedy
