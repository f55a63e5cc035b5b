"""Votes of several machines: merged in any order, and as tables there and back."""

from __future__ import annotations

import csv
import shutil
import unicodedata
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from nirfire.commands.votes import export_votes, import_votes, list_votes, merge_votes
from nirfire.errors import DataError
from nirfire.inspect.ballot import Ballot
from nirfire.inspect.exchange import read_votes, write_votes
from nirfire.inspect.merge import merge
from nirfire.inspect.standing import enough_of
from nirfire.inspect.store import Store
from nirfire.pipeline.target import Observation, write_origin
from nirfire.products.naming import Workspace
from tests.inspect.votes import SEEN, at, vote, write_source

ODD = [
    vote(time=at(1), comment="two\nlines\r\n and \\n that is none", tags=("z>4 ?", "naïve"), seen=SEEN),
    vote(time=at(2), user='Zoë "Z" Müller 星', comment="\"quoted\", 'single' \t end", z=-0.001),
    vote(time=at(3), source=7, quality=1, comment="", flags={"prism_clear": 36, "g395m_f290lp": 256}),
    vote(
        time=at(4),
        source=2**31 - 1,
        z=1 / 3,
        quality=4,
        comment="#% comment: [red]no[/red]",
        seen={"a_b": {"spec": None, "fit": None}},
    ),
    vote(time=at(5), quality=0, z=None, comment="nan"),
    vote(time=at(6), quality=0, z=3.0, comment="--"),
]


def workspace(folder, *sources: int, observation: str = "ws") -> Workspace:
    place = Workspace(folder, observation)
    for source in sources:
        write_source(place, source)
    place.folder.mkdir(exist_ok=True)
    write_origin(Observation(place, folder), "")
    return place


def content(store: Store) -> tuple:
    return tuple(store.votes()), tuple(store.latest()), tuple(store.consensus().items())


def test_merging_is_a_union_in_any_order_and_any_number_of_times(tmp_path):
    shared = vote(time=at(3), comment="of both")
    lots = [
        [vote(time=at(1), quality=2), shared],
        [vote(time=at(2), user="bob", z=5.0, quality=4), shared],
        [vote(time=at(2), uuid="b", comment="same time"), vote(time=at(2), uuid="a", comment="same time too")],
    ]
    paths = []
    for k, votes in enumerate(lots):
        paths.append(tmp_path / f"{k}.sqlite")
        with Store.open(paths[-1]) as store:
            store.add_many(votes)
    found = set()
    for k, order in enumerate(permutations(paths)):
        with Store.open(tmp_path / f"merged{k}.sqlite") as store:
            taken = merge(store, order)
            assert sum(one.n_new for one in taken) == 5 and sum(one.n_votes for one in taken) == 6
            assert [one.n_new for one in merge(store, order)] == [0, 0, 0]
            found.add(repr(content(store)))
    assert len(found) == 1
    with Store.open(paths[0], read_only=True) as first:
        assert len(first.votes()) == 2  # the others are only read


def test_what_must_not_be_merged(tmp_path):
    mine, theirs = tmp_path / "mine.sqlite", tmp_path / "theirs.sqlite"
    with Store.open(mine, observation="egs") as store, Store.open(theirs, observation="cosmos") as other:
        other.add(vote(uuid="u", comment="a", time=at(1)))
        with pytest.raises(DataError, match="votes on cosmos"):
            merge(store, [theirs])
        assert merge(store, [theirs], force=True)[0].n_new == 1
        with pytest.raises(DataError, match="no votes"):
            merge(store, [tmp_path])
    forged = tmp_path / "forged.sqlite"
    with Store.open(forged) as store:
        store.add_many([vote(time=at(2)), vote(uuid="u", comment="b", time=at(1))])
    with Store.open(mine) as store:
        with pytest.raises(DataError, match="same uuid and other content"):
            merge(store, [forged])
        assert len(store.votes()) == 1  # all or none of a store


def test_what_can_be_read_of_a_damaged_store(tmp_path):
    broken = tmp_path / "broken.sqlite"
    votes = [vote(source=k, time=at(k), comment="y" * 300) for k in range(300)]
    with Store.open(broken) as store:
        store.add_many(votes)
    content = bytearray(broken.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = bytes(4096)
    broken.write_bytes(content)
    with Store.open(tmp_path / "new.sqlite") as store:
        with pytest.raises(DataError, match=r"damaged|malformed") as caught:
            merge(store, [broken])
        assert "--damaged" in caught.value.remedy
        (taken,) = merge(store, [broken], damaged=True)
        assert 250 < taken.n_new < 300
        assert all(one in votes for one in store.votes())
    broken.write_bytes(b"x" * 9000)
    with pytest.raises(DataError, match="not a database"):
        Store.salvage(broken)


def test_a_table_of_votes_there_and_back(tmp_path):
    path = tmp_path / "votes.ecsv"
    assert write_votes(path, ODD[::-1], observation="demo") == len(ODD)
    assert read_votes(path) == ODD
    with Store.open(tmp_path / "a.sqlite") as store:
        assert store.add_many(read_votes(path)) == len(ODD)
        assert store.add_many(read_votes(path)) == 0
        assert store.votes() == ODD
    table = Table.read(path)
    assert table.meta["observation"] == "demo" and table["source"].meta["ucd"] == "meta.id;meta.main"
    assert table["latest"].tolist() == [False, True, True, True, False, True]
    assert table["flags_said"][2] == "stuck shutter, low S/N, grating corrupted"
    assert np.isnan(table["z"][2]) and table["quality_said"][3] == "secure"
    assert all(line.isprintable() for line in path.read_text().split("\n"))


def test_an_empty_store_there_and_back(tmp_path):
    path = tmp_path / "votes.ecsv"
    assert write_votes(path, []) == 0
    assert read_votes(path) == []


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.floats(-0.1, 50.0)), max_size=4))
def test_any_comment_and_redshift_there_and_back(tmp_path_factory, said):
    votes = [vote(time=at(k), comment=_kept(comment), z=z) for k, (comment, z) in enumerate(said)]
    path = tmp_path_factory.mktemp("table") / "votes.ecsv"
    write_votes(path, votes)
    assert read_votes(path) == votes


def _kept(text: str) -> str:
    """What the page would keep of a comment."""
    typed = "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) != "Cc")
    said = {"uuid": str(UUID(int=1)), "source": 1, "quality": 0, "comment": typed}
    return Ballot.model_validate(said).vote("ada").comment


def test_tables_of_others_are_taken_in_once(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text('source_id,redshift,quality,comment,tags\n101,2.5,4,"a, b\\n","LRD, faint"\n102,,1,,\n')
    first, second = read_votes(path, user="Zoë")
    assert (first.user, first.source, first.z, first.quality, first.time) == ("Zoë", 101, 2.5, 4, "")
    assert (first.comment, first.tags) == ("a, b\\n", ("LRD", "faint"))
    assert (second.z, second.quality, second.comment, second.tags) == (None, 1, "", ())
    with Store.open(tmp_path / "a.sqlite") as store:
        assert store.add_many(read_votes(path, user="Zoë")) == 2
        assert store.add_many(read_votes(path, user="Zoë")) == 0
        assert store.add_many(read_votes(path, user="Ann")) == 2


def test_a_table_that_was_taken_in_on_two_machines_does_not_hinder_a_merge(tmp_path):
    """The same row is the same vote, with the time when each of them took it in."""
    table = tmp_path / "grades.csv"
    table.write_text("source,quality,z,user\n101,4,3.0,ada\n102,1,,ada\n")
    paths = [tmp_path / "a.sqlite", tmp_path / "b.sqlite"]
    for path in paths:
        with Store.open(path) as store:
            store.add_many(read_votes(table))
    with Store.open(paths[0]) as store, Store.open(paths[1]) as other:
        other.add(vote(source=103, builds_on=(), regrades=True))
        times = {one.uuid: one.time for one in store.votes()}
        assert any(times[one.uuid] != one.time for one in other.votes(101))
        assert merge(store, paths[1:])[0].n_new == 1 and merge(other, paths[:1])[0].n_new == 0
        assert store.consensus().keys() == other.consensus().keys()
        told = store.votes(103)[0]
        with pytest.raises(DataError, match="same uuid and other content"):
            store.add(replace(told, time=at(1)))


def test_a_catalogue_is_no_list_of_voters_and_what_nobody_looked_at_is_no_vote(tmp_path):
    path = tmp_path / "sources.csv"
    path.write_text(
        "source_id,name,redshift,quality,comment\n101,9999_101,2.5,4,\n102,9999_102,1.5,0,\n103,x,1.0,0,why\n"
    )
    votes = read_votes(path, user="ann")
    assert [(vote.user, vote.source, vote.quality) for vote in votes] == [("ann", 101, 4), ("ann", 103, 0)]


def answers(store: Store) -> list[tuple]:
    """What each person says now."""
    return [(one.source, one.user, one.quality, one.z, one.comment, one.tags) for one in store.latest()]


GIVEN = st.tuples(st.sampled_from([0, 1, 2, 3, 4]), st.sampled_from([1.0, 2.5]))
HISTORY = st.lists(
    st.tuples(
        st.sampled_from([101, 102]),
        st.sampled_from(["ada", "bob"]),
        GIVEN,
        st.sampled_from(["", "Hα", "12", "1e5", "nan", "--", ' "two", lines\nand\t'.strip()]),
        st.sampled_from([(), ("LRD",), ("7",), ("LRD", "z>4 ?")]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(HISTORY)
def test_a_history_there_and_back_ends_as_it_was(tmp_path_factory, history):
    """As written; as another program has written it since; and as a plain table of grades in which rows come again."""
    folder = tmp_path_factory.mktemp("history")
    with Store.open(folder / "a.sqlite") as store:
        for source, user, (quality, z), comment, tags in history:
            z = None if quality < 2 else z
            store.add(vote(source, user, z, quality, comment=comment, tags=tags, seen=SEEN))
        write_votes(folder / "votes.ecsv", store.votes())
        Table.read(folder / "votes.ecsv").write(folder / "votes.csv", format="ascii.csv")
        with (folder / "grades.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["source_id", "user", "quality", "redshift", "comment", "tags"])
            for one in store.votes():
                z = "" if one.z is None else one.z
                rows.writerow([one.source, one.user, one.quality, z, one.comment, ", ".join(one.tags)])
        for name in ("votes.ecsv", "votes.csv"):
            assert read_votes(folder / name) == store.votes()
        with Store.open(folder / "b.sqlite") as other:
            new = other.add_many(read_votes(folder / "grades.csv"))
            silent = {(vote.source, vote.user): vote for vote in store.latest()}.keys() - {
                (vote.source, vote.user) for vote in other.latest()
            }
            assert answers(other) == [one for one in answers(store) if one[:2] not in silent]
            assert all(one[2:] == (0, None, "", ()) for one in answers(store) if one[:2] in silent)
            assert other.add_many(read_votes(folder / "grades.csv")) == 0 and len(other.votes()) == new


def test_a_grade_that_comes_again_is_another_vote(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text("source,user,quality,z\n101,ada,4,2.5\n101,ada,3,2.5\n101,ada,4,2.5\n102,ada,4,1\n102,ada,0,\n")
    with Store.open(tmp_path / "a.sqlite") as store:
        first = Path(tmp_path / "first.csv")
        first.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
        assert store.add_many(read_votes(first)) == 1
        assert store.add_many(read_votes(path)) == 4  # the first row was known
        assert [vote.quality for vote in store.votes(101)] == [4, 3, 4]
        assert [vote.quality for vote in store.latest()] == [4, 0]  # who graded and takes it back says something


def test_what_is_empty_is_no_text(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text("source,user,quality,z,comment,tags\n101,7,3,2.5,,5\n102,8,1,,,\n")
    first, second = read_votes(path)
    assert (first.user, first.comment, first.tags, second.comment, second.tags) == ("7", "", ("5",), "", ())


TABLE_1 = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: source, datatype: int64}
# - {name: user, datatype: string}
# - {name: quality, datatype: int64}
# - {name: z, datatype: float64}
# - {name: quality_said, datatype: string}
# - {name: flags_said, datatype: string}
# - {name: comment, datatype: string}
# - {name: tags, datatype: string}
# - {name: time, datatype: string}
# - {name: latest, datatype: bool}
# - {name: flags, datatype: string}
# - {name: seen, datatype: string}
# - {name: uuid, datatype: string}
# meta: {format: nirfire votes 1, observation: demo}
# schema: astropy-2.0
source user quality z quality_said flags_said comment tags time latest flags seen uuid
101 ada 4 2.5 secure "" Hα "[""LRD""]" 2026-01-01T00:00:01.000000Z True "{""prism_clear"": 4}" {} """


def test_a_table_of_the_first_version_is_read(tmp_path):
    path = tmp_path / "votes.ecsv"
    name = str(UUID(int=7))
    path.write_text(f"{TABLE_1}{name}\n")
    (read,) = read_votes(path)
    flags = {"prism_clear": 4}
    assert read == vote(quality=4, comment="Hα", tags=("LRD",), time=at(1), flags=flags, uuid=name)
    with Store.open(tmp_path / "a.sqlite") as store:  # also where this version has said more of it
        store.add(replace(read, builds_on=(), regrades=True, saved=at(9)))
        assert store.add_many([read]) == 0
        write_votes(path, store.votes())
    with Store.open(tmp_path / "b.sqlite") as store:
        store.add(read)
        assert store.add_many(read_votes(path)) == 0


def two_machines(tmp_path, second: dict) -> tuple[Path, Path]:
    """Stores of two machines that began as one, and then one person voted on both."""
    here, there = tmp_path / "here.sqlite", tmp_path / "there.sqlite"
    with Store.open(here) as store:
        old = store.add(vote(quality=2, z=1.0, builds_on=(), regrades=True))
    shutil.copy(here, there)
    for path, said in ((here, {"quality": 4, "z": 3.0, "regrades": True}), (there, second)):
        with Store.open(path) as store:
            store.add(vote(**{"quality": 2, "z": 1.0} | said, builds_on=(old.uuid,)))
    return here, there


def test_a_flag_set_on_another_machine_does_not_undo_a_grade(tmp_path):
    paths = two_machines(tmp_path, {"flags": {"p_c": 4}, "regrades": False})
    for mine, theirs in (paths, paths[::-1]):
        with Store.open(mine) as store:
            merge(store, [theirs])
            (found,) = store.latest()
            assert (found.quality, found.z, found.flags, found.rivals) == (4, 3.0, {"p_c": 4}, ())
            assert not store.consensus()[101].conflict
            table = tmp_path / "votes.ecsv"
            write_votes(table, enough_of(store.votes()))
            assert Table.read(table)["latest"].tolist() == [False, True, True]
        with Store.open(tmp_path / f"again-{mine.name}") as store:
            store.add_many(read_votes(table))
            assert store.latest() == [found]


def test_two_grades_of_one_person_on_two_machines_are_in_conflict_until_one_is_chosen(tmp_path, capsys):
    ours, theirs = workspace(tmp_path / "ours", 101), workspace(tmp_path / "theirs", 101)
    for path, place in zip(
        two_machines(tmp_path, {"quality": 3, "z": 5.0, "regrades": True}), (ours, theirs), strict=True
    ):
        path.rename(place.inspection)
    merge_votes(ours.folder, [theirs.folder])
    merge_votes(theirs.folder, [ours.folder])
    assert capsys.readouterr().err.count("1 sources in conflict, 1 of them between votes of one person") == 2
    with Store.open(ours.inspection) as a, Store.open(theirs.inspection) as b:
        assert content(a) == content(b) and len(a.votes()) == 3
        assert {(one.quality, one.z) for one in a.latest()[0].rivals} == {(4, 3.0), (3, 5.0)}
        assert a.consensus()[101].conflict and a.consensus()[101].quality == 0
    list_votes(ours.folder)
    assert "two votes of ada" in " ".join(capsys.readouterr().out.split())
    list_votes(ours.folder, conflicts=True)
    out = capsys.readouterr().out
    assert "3.00000" in out and "5.00000" in out and "1.00000" not in out
    export_votes(ours.folder, tmp_path / "latest.ecsv", latest=True)
    assert len(read_votes(tmp_path / "latest.ecsv")) == 3
    with Store.open(ours.inspection) as store:
        heads = tuple(one.uuid for one in store.latest()[0].heads)
        store.add(vote(quality=4, z=3.0, builds_on=heads, regrades=True))
        assert (store.latest()[0].quality, store.consensus()[101].conflict) == (4, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,quality\n101,1\n", "who voted"),
        ("source,user\n101,a\n", "column quality"),
        ("source,quality,user\n101,3,a\n", "row 1 is no vote: .*z is missing"),
        ("source,quality,z,user\n101,3,2.5,a\n102,9,2.5,a\n", "row 2 is no vote: quality"),
        ("source,quality,z,user\nx,3,2.5,a\n", "row 1 is no vote"),
        ("source,quality,z,user\n101,3.7,2.5,a\n", "3.7 is not a whole number"),
        ("source,quality,z,user\n101,,2.5,a\n", "row 1 is no vote"),
        ("source,quality,z,user\n101,3,2,5,a\n", "line 2 has more values"),
        ("", "column source is missing"),
        ("source,quality,z,user\n101,3,2.5," + "x" * 41 + "\n", "not a name"),
    ],
)
def test_tables_that_are_none(tmp_path, text, said):
    path = tmp_path / "grades.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_votes(path)
    assert str(path) in str(caught.value)


def test_an_edited_export_is_checked(tmp_path):
    path = tmp_path / "votes.ecsv"
    write_votes(path, ODD)
    whole = path.read_text()
    for old, new in (("2026-01-01T00:00:01.000000Z", "yesterday"), ('""LRD""', "LRD"), ("36", "9999")):
        path.write_text(whole.replace(old, new) if old in whole else whole.replace("[", "{"))
        with pytest.raises(DataError, match="is no vote"):
            read_votes(path)
    with pytest.raises(DataError, match="not found"):
        read_votes(tmp_path / "absent.ecsv")
    with pytest.raises(DataError, match=r"\.ecsv and \.csv"):
        read_votes(tmp_path / "votes.txt")


def export_by_a_spreadsheet(path: Path, **changed: str) -> Path:
    """A table with one vote as it is after somebody has worked on it."""
    told = {"tags": ("LRD", "odd"), "flags": {"prism_clear": 4}, "seen": SEEN, "builds_on": (), "regrades": True}
    write_votes(path.with_suffix(".ecsv"), [vote(time=at(5), saved=at(6), **told)])
    table = Table.read(path.with_suffix(".ecsv"), format="ascii.ecsv")
    row = {name: str(table[name][0]) for name in table.colnames} | changed
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, [name for name in row if row[name] != "no such column"], extrasaction="ignore")
        out.writeheader()
        out.writerow(row)
    return path


def test_what_a_spreadsheet_makes_of_an_export(tmp_path):
    path = tmp_path / "votes.csv"
    (said,) = read_votes(export_by_a_spreadsheet(path, regrades="TRUE", latest="TRUE"))
    assert said.regrades is True and said.builds_on == ()
    (said,) = read_votes(export_by_a_spreadsheet(path, quality="1"))  # its redshift was left in
    with Store.open(tmp_path / "a.sqlite") as store:
        assert (store.add(said).quality, said.z) == (1, None)
    (said,) = read_votes(export_by_a_spreadsheet(path, uuid="no such column", flags="no such column"))
    assert said.tags == ("LRD", "odd")


@pytest.mark.parametrize("time", ["2026-13-41T25:00:00.000000Z", "9999-12-31T23:59:59.999999Z"])
def test_a_time_that_cannot_be_is_refused(tmp_path, time):
    """No vote could be given after it."""
    for name in ("time", "saved"):
        with pytest.raises(DataError, match=f"{name} is not as in"):
            read_votes(export_by_a_spreadsheet(tmp_path / "votes.csv", **{name: time}))


def test_the_commands(tmp_path, capsys):
    ours, theirs = workspace(tmp_path / "ours", 7, 8), workspace(tmp_path / "theirs", 7, 8)
    with Store.open(ours.inspection, observation="ws") as store:
        store.add_many([vote(7, z=2.0, quality=4, seen=SEEN, tags=("LRD",)), vote(8, z=5.0, comment="[O III]? [bold]")])
    with Store.open(theirs.inspection, observation="ws") as store:
        store.add_many([vote(8, "bob", z=1.0), vote(99, "bob", z=3.0)])
    table = tmp_path / "all.ecsv"
    assert list_votes(ours.folder) == 0
    assert "[O III]? [bold]" in capsys.readouterr().out
    assert merge_votes(ours.folder, [theirs.folder]) == 0
    told = capsys.readouterr().err
    assert (
        "2 votes, 2 of them new" in told and "1 sources in conflict" in told and "without products are kept: 99" in told
    )
    list_votes(ours.folder, conflicts=True)
    out = capsys.readouterr().out
    assert "ada" in out and "bob" in out and " 7 " not in out
    write_source(ours, 7, fit="f2")
    list_votes(ours.folder, user="ada", history=True)
    assert "stale" in capsys.readouterr().out
    assert export_votes(ours.folder, table) == 0
    assert len(read_votes(table)) == 4
    export_votes(ours.folder, table, latest=True)
    (theirs.inspection).unlink()
    assert import_votes(theirs.folder, [table]) == 0
    with Store.open(theirs.inspection, read_only=True) as a, Store.open(ours.inspection, read_only=True) as b:
        assert a.votes() == b.votes() and a.observation == "ws"
    with pytest.raises(DataError, match="ECSV"):
        export_votes(ours.folder, tmp_path / "votes.fits")


def test_a_folder_that_is_no_workspace_has_no_votes(tmp_path):
    table = tmp_path / "votes.ecsv"
    table.write_text("kept")
    mistyped = tmp_path / "nirfire-dmeo"
    for command in (
        lambda: list_votes(mistyped),
        lambda: export_votes(mistyped, table),
        lambda: import_votes(mistyped, [table]),
    ):
        with pytest.raises(DataError, match="no workspace"):
            command()
    assert table.read_text() == "kept" and not mistyped.exists()
