"""Edits of the files that people write: comments and order stay, and nothing is lost or half written."""

from __future__ import annotations

import multiprocessing
import os
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nirfire.inspect import edits
from nirfire.inspect.edits import Unchanged, choose_nods, mark_shutters, token
from nirfire.inspect.toml_text import comments, with_comments
from nirfire.products.naming import Workspace
from nirfire.products.nod_lists import read_nod_lists
from nirfire.tasks.stuck import HEADER, read_stuck

pytestmark = pytest.mark.usefixtures("quick_disk")
ROOT, OTHER = "jw01345062001_03101", "jw01345062001_05101"
STUCK = f"""# Stuck, as seen on 2026-11-22
# by two of us

[{ROOT}]   # first
101 = [3]  # dark in all nods
7 = [
  1,  # surely
  2,  # perhaps
]

# the second is odd
[{OTHER}]
12 = [1]
"""
NODS = f"""[{ROOT}]                                    # visit and activity
all = {{ left_out = [3] }}                    # exposure 3 takes no part
933 = {{ 1 = [2], 4 = [] }}                   # 4 is background only
[{ROOT}.12]  # a table of its own
1 = [2, "05101_00001"]             # of another activity
"""


@pytest.fixture
def place(tmp_path):
    return Workspace(tmp_path, "ws")


def changed(before: str, after: str) -> list[str]:
    """Lines of a text that another lacks."""
    return [line for line in after.splitlines() if line not in before.splitlines()]


@pytest.mark.parametrize(
    ("source", "closed", "new"),
    [
        (101, [2, 3], ["101 = [2, 3]  # dark in all nods"]),
        (101, [], ["101 = []  # dark in all nods"]),
        (7, [2, 3], ["  # 1,  # surely", "  3,"]),
        (9, [1], ["9 = [1]"]),
        (101, [3], []),
        (-5, [1], ["-5 = [1]"]),
    ],
)
def test_only_what_is_meant_changes(place, source, closed, new):
    place.stuck_list.write_text(STUCK)
    before = read_stuck(place.stuck_list)
    assert mark_shutters(place, ROOT, source, closed) == place.stuck_list
    after = place.stuck_list.read_text()
    assert changed(STUCK, after) == new
    assert read_stuck(place.stuck_list) == {**before, ROOT: {**before[ROOT], source: tuple(closed)}}
    assert [line for line in STUCK.splitlines() if "#" in line and "101" not in line and "surely" not in line] == [
        line for line in after.splitlines() if "#" in line and "101" not in line and "surely" not in line
    ]
    assert after.index("# the second is odd") > after.rindex(f"{source} = "), "it leads over to the next table"


def test_what_was_said_is_taken_back(place):
    place.stuck_list.write_text(STUCK)
    mark_shutters(place, "jw01345062001_07101", 12, [1])
    assert place.stuck_list.read_text().endswith("[jw01345062001_07101]\n12 = [1]\n")
    mark_shutters(place, "jw01345062001_07101", 12, None)
    assert place.stuck_list.read_text() == STUCK
    mark_shutters(place, ROOT, 101, None)
    without = STUCK.replace("101 = [3]  # dark", "# 101 = [3]  # dark")
    assert place.stuck_list.read_text() == without, "what a person wrote beside it stays"
    mark_shutters(place, ROOT, 101, [2])
    mark_shutters(place, ROOT, 101, None)
    assert place.stuck_list.read_text() == without, "without a comment there is nothing to keep"
    looks = place.stuck_list.stat().st_mtime_ns
    mark_shutters(place, ROOT, 101, None)
    assert place.stuck_list.stat().st_mtime_ns == looks, "nothing to take back: not written"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_comments_survive_what_they_belong_to(place, end):
    place.stuck_list.write_bytes(STUCK.replace("\n", end).encode())
    for root, source in ((ROOT, 7), (ROOT, 101), (OTHER, 12)):
        mark_shutters(place, root, source, None)
    text = place.stuck_list.read_bytes().decode()
    assert read_stuck(place.stuck_list) == {} and text.count("\n") == text.count(end)
    kept = [
        f"[{ROOT}]   # first",
        "# 101 = [3]  # dark in all nods",
        "# 7 = [",
        "  # 1,  # surely",
        "  # 2,  # perhaps",
        "# ]",
    ]
    assert end.join(kept) in text and text.startswith(f"# Stuck, as seen on 2026-11-22{end}")
    assert f"{end}# the second is odd{end}" in text and OTHER not in text, "a bare heading goes with its last entry"
    place.nod_list.write_text(NODS)
    choose_nods(place, ROOT, 12, None, [])
    choose_nods(place, ROOT, 933, None, [])
    text = place.nod_list.read_text()
    assert f"# [{ROOT}.12]  # a table of its own\n# 1 = [2, " in text and "# 933 = { 1 = [2], 4 = [] } " in text
    assert "# first" not in text and text.startswith(f"[{ROOT}]  ")


def test_a_hash_within_a_text_is_no_comment():
    before = 'a = \'x # y\'  # one\nb = """\n# no\n"""  # two\nc = "\\"# no"  # three'
    assert comments(before) == ["# one", "# two", "# three"]
    assert with_comments(before, before.partition("\nc")[0] + "\n") == before.replace("\nc", "\n# c") + "\n"
    assert with_comments("a = 1  # x\nb = 2  # x\n", "b = 2  # x\n") == "# a = 1  # x\nb = 2  # x\n"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_mark_of_an_editor_are_kept(place, mark):
    """Editors of Windows end lines with CR LF, and some begin a file with a byte-order mark."""
    crlf = mark + STUCK.replace("\n", "\r\n")
    place.stuck_list.write_bytes(crlf.encode())
    seen = token(place.stuck_list, ROOT, 101)
    mark_shutters(place, ROOT, 101, [1, 2], seen=seen)
    mark_shutters(place, "jw01345062001_09101", 5, [1])
    text = place.stuck_list.read_bytes().decode()
    assert text == crlf.replace("101 = [3]", "101 = [1, 2]") + "\r\n[jw01345062001_09101]\r\n5 = [1]\r\n"
    mark_shutters(place, "jw01345062001_09101", 5, None)
    mark_shutters(place, ROOT, 101, [3])
    assert place.stuck_list.read_bytes().decode() == crlf


def test_what_an_editor_saves_in_the_midst_of_an_edit_stays(place, monkeypatch):
    """The editor knows nothing of our lock, and saves after the file was read and before it is replaced."""
    place.stuck_list.write_text(STUCK)
    by_editor = STUCK.replace("[3]  # dark", "[2, 3]  # darker")
    reads = []

    def read(path):
        reads.append(path)
        if len(reads) == 2:  # of the new file, before it takes the place of the other
            place.stuck_list.write_text(by_editor)
        return read_stuck(path)

    monkeypatch.setattr(edits, "read_stuck", read)
    mark_shutters(place, ROOT, 9, [1])
    assert read_stuck(place.stuck_list)[ROOT] == {101: (2, 3), 7: (1, 2), 9: (1,)}
    assert "# darker" in place.stuck_list.read_text() and not list(place.folder.glob(".part-*"))

    def saved_again(path):
        place.stuck_list.write_text(f"{place.stuck_list.read_text()}# more\n")
        return read_stuck(path)

    monkeypatch.setattr(edits, "read_stuck", saved_again)
    with pytest.raises(Unchanged, match="somebody else"):
        mark_shutters(place, ROOT, 10, [1])
    monkeypatch.undo()
    assert 10 not in read_stuck(place.stuck_list)[ROOT] and not list(place.folder.glob(".part-*"))


def test_a_linked_file_is_changed_where_it_lies(place, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared") / "stuck.toml"
    shared.write_text(STUCK)
    place.stuck_list.symlink_to(shared)
    mark_shutters(place, ROOT, 9, [1])
    assert place.stuck_list.is_symlink() and read_stuck(shared)[ROOT][9] == (1,)


def test_a_new_file_says_how_it_is_written(place):
    mark_shutters(place, ROOT, 101, None)
    assert not place.stuck_list.exists()
    mark_shutters(place, ROOT, 101, [2, 1, 2])
    text = place.stuck_list.read_text()
    assert text.startswith(HEADER) and text.endswith(f"\n[{ROOT}]\n101 = [1, 2]\n")
    choose_nods(place, ROOT, 101, {"1": [2, 3], "2": []}, [4, "05101_00001"])
    text = place.nod_list.read_text()
    assert text.startswith("# Nods") and text.endswith(
        f'\n[{ROOT}]\n101 = {{1 = [2, 3], 2 = [], left_out = [4, "05101_00001"]}}\n'
    )
    said = read_nod_lists(place.nod_list)[ROOT]["101"]
    assert said.backgrounds == {"03101_00001": ("03101_00002", "03101_00003"), "03101_00002": ()}
    assert said.left_out == {"03101_00004", "05101_00001"}


def test_nods_keep_what_is_said_of_others(place):
    place.nod_list.write_text(NODS)
    choose_nods(place, ROOT, 933, {"1": [2]}, [4])
    assert changed(NODS, place.nod_list.read_text()) == [
        "933 = {1 = [2], left_out = [4]}                   # 4 is background only"
    ]
    choose_nods(place, ROOT, 12, {"1": [2]}, [])
    text = place.nod_list.read_text()
    assert "1 = [2]             # of another activity" in text and f"[{ROOT}.12]  # a table of its own" in text
    choose_nods(place, ROOT, 12, None, [])
    assert read_nod_lists(place.nod_list)[ROOT].keys() == {"all", "933"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[{ROOT}]\n101 = [3\n12 = [1]\n", "line 3"),
        (f"[{ROOT}]\n101 = 3\n", "not a source with a list"),
        ("[stuck]\n101 = [3]\n", "not a visit"),
        (f"[{ROOT}]\n101 = [3]\n101 = [2]\n", "line 3"),
        ("\udcff", "not a text file"),
    ],
)
def test_a_file_that_is_not_right_is_left_alone(place, text, said):
    place.stuck_list.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Unchanged, match=said) as caught:
        mark_shutters(place, ROOT, 9, [1])
    assert caught.value.file == place.stuck_list and caught.value.remedy
    assert place.stuck_list.read_bytes() == text.encode(errors="surrogateescape")
    assert not list(place.folder.glob(".part-*"))


def test_what_would_not_be_read_is_not_written(place):
    place.nod_list.write_text(NODS)
    with pytest.raises(Unchanged, match="own background") as caught:
        choose_nods(place, ROOT, 5, {"1": [1]}, [])
    assert caught.value.file == place.nod_list, "not the unfinished file"
    assert place.nod_list.read_text() == NODS and not list(place.folder.glob(".part-*"))


@pytest.mark.parametrize(
    "text",
    [
        f"{ROOT}.5 = [1] # dotted\n",
        f"{ROOT} = {{5 = [1]}} # inline\n",
        f"[{ROOT}]\r\n5 = [1]\r\n\r\n[{OTHER}]\r\n5 = [1]\r\n",
        f'["{ROOT}"]\n"5" = [1]\n',
        f"[{ROOT}]\n5 = [1]",
        f"# nothing yet\n[{ROOT}]",
    ],
)
def test_other_ways_to_write_the_same(place, text):
    place.stuck_list.write_bytes(text.encode())
    before = tomllib.loads(text)
    mark_shutters(place, ROOT, 6, [2])
    mark_shutters(place, ROOT, 5, [1, 3])
    after = place.stuck_list.read_bytes().decode()
    assert tomllib.loads(after) == {**before, ROOT: {**before.get(ROOT, {}), "5": [1, 3], "6": [2]}}
    assert [line for line in text.split("\n") if "#" in line] == [
        line.replace("[1, 3]", "[1]").replace(",6 = [2]", "") for line in after.split("\n") if "#" in line
    ]


def test_a_folder_that_cannot_be_written(place, monkeypatch):
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *a, **k: _refuse() if "edit.lock" in str(path) else real(path, *a, **k)
    )
    with pytest.raises(Unchanged, match="cannot be written: Read-only") as caught:
        mark_shutters(place, ROOT, 9, [1])
    assert "permissions" in caught.value.remedy


def _refuse():
    raise OSError(30, "Read-only file system")


def _marks(folder: Path, sources: range) -> None:
    for source in sources:
        mark_shutters(Workspace(folder, "ws"), ROOT, source, [1 + source % 3])


def test_several_people_at_once_lose_nothing(place):
    place.stuck_list.write_text(STUCK)
    context = multiprocessing.get_context("fork")
    workers = [threading.Thread(target=_marks, args=(place.folder, range(200 + 8 * k, 208 + 8 * k))) for k in range(4)]
    workers.append(context.Process(target=_marks, args=(place.folder, range(300, 308))))  # another server
    for worker in reversed(workers):
        worker.start()
    for worker in workers:
        worker.join()
    found = read_stuck(place.stuck_list)[ROOT]
    assert found == {101: (3,), 7: (1, 2)} | {s: (1 + s % 3,) for s in (*range(200, 232), *range(300, 308))}
    assert place.stuck_list.read_text().startswith(STUCK[:100])


entry = st.tuples(
    st.sampled_from([ROOT, OTHER, "jw01345062001_09101"]),
    st.integers(-3, 12),
    st.none() | st.lists(st.integers(1, 5), max_size=4),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(entry, max_size=6))
def test_any_edits_give_what_was_said(tmp_path_factory, edited):
    place = Workspace(tmp_path_factory.mktemp("ws"), "ws")
    place.stuck_list.write_text(STUCK)
    wanted = read_stuck(place.stuck_list)
    for root, source, closed in edited:
        mark_shutters(place, root, source, closed)
        wanted.setdefault(root, {}).pop(source, None)
        if closed is not None:
            wanted[root][source] = tuple(sorted(set(closed)))
    assert read_stuck(place.stuck_list) == {root: sources for root, sources in wanted.items() if sources}
    assert set(comments(place.stuck_list.read_text())) >= {"# first", "# the second is odd", "# by two of us"}


def test_a_list_in_another_order_is_replaced(place):
    """As somebody wrote it over several lines: what is written is in order of the numbers, and the comments stay."""
    place.stuck_list.write_text(f"[{ROOT}]\n7 = [\n  4,  # sure\n  1,\n  3,  # perhaps\n]\n9 = [1]\n")
    mark_shutters(place, ROOT, 7, [1, 2, 4])
    assert tomllib.loads(place.stuck_list.read_text()) == {ROOT: {"7": [1, 2, 4], "9": [1]}}
    said = " ".join(comments(place.stuck_list.read_text()))
    assert "# sure" in said and "# perhaps" in said


def test_a_table_made_of_its_parts_gets_no_comment_twice(place):
    text = f"[{ROOT}.12]  # a table of its own\n1 = [2]\n"
    place.nod_list.write_text(text)
    choose_nods(place, ROOT, 13, {"1": [3]}, ())
    after = place.nod_list.read_text()
    assert comments(after) == ["# a table of its own"]
    assert tomllib.loads(after) == {ROOT: {"12": {"1": [2]}, "13": {"1": [3]}}}


def test_parts_of_a_table_among_others_are_changed_or_left_alone(place):
    """The library that keeps comments cannot follow all of them, and says so in ways of its own."""
    text = f"""[{ROOT}]
"100".'1' = [2, 3]
"100".2 = [4]
103."3" = [1]
104 = {{ 3 = [2, 1] }}
"103".1 = [2, 4]
"""
    wanted = {"2": [1], "left_out": [5]}
    for source in (100, 103, 104, 105):
        place.nod_list.write_text(text)
        before = tomllib.loads(text)
        try:
            choose_nods(place, ROOT, source, {"2": [1]}, (5,))
        except Unchanged:
            assert place.nod_list.read_text() == text
        else:
            assert tomllib.loads(place.nod_list.read_text()) == {ROOT: before[ROOT] | {str(source): wanted}}


def test_an_entry_at_the_end_that_becomes_a_comment_ends_as_the_other_lines(place):
    place.stuck_list.write_bytes(f"[{ROOT}]\r\n9 = [1]\r\n7 = [3]  # sure".encode())
    mark_shutters(place, ROOT, 7, None)
    assert place.stuck_list.read_bytes().decode() == f"[{ROOT}]\r\n9 = [1]\r\n# 7 = [3]  # sure\r\n"
