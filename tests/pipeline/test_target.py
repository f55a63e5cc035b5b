"""What the user points at becomes observations with a place, inputs and a configuration."""

from __future__ import annotations

import pytest

from nirfire.errors import DataError
from nirfire.pipeline.target import Layers, observations, read_origin, write_origin
from nirfire.products.naming import Workspace
from nirfire.tasks.stuck import write_stuck

from .survey import ROOT, write_survey

ONE = f'field = "EGS"\nprogram = "ceers"\ndata_subdir = "raw"\nfiles = ["{ROOT}*"]\n'


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIRFIRE_CONFIG", str(tmp_path / "none.toml"))
    (tmp_path / "none.toml").write_text("")
    return write_survey(tmp_path / "raw")


@pytest.fixture
def toml(raw):
    path = raw.parent / "observations.toml"
    path.write_text(f"[p1]\n{ONE}[p1.clean]\nn_iter = 2\n[p2]\n{ONE}")
    return path


def test_a_folder_of_exposures(raw, tmp_path):
    (found,) = observations(raw)
    assert (found.folder, found.workspace) == (raw, Workspace(tmp_path / "raw-nirfire", "raw"))
    assert len(found.inputs().exposures) == 2
    assert found.special().stuck == {}
    (named,) = observations(raw, names=["ceers"])
    assert named.workspace == Workspace(tmp_path / "ceers-nirfire", "ceers")
    (placed,) = observations(raw, workspace=tmp_path / "here", names=["ceers"])
    assert placed.workspace == Workspace(tmp_path / "here", "ceers")
    with pytest.raises(DataError, match="is one observation"):
        observations(raw, names=["a", "b"])


def test_observations_toml_or_its_folder(toml, tmp_path):
    for target in (toml, tmp_path):
        one, two = observations(target)
        assert one.workspace == Workspace(tmp_path / "products" / "p1", "p1")
        assert two.workspace == Workspace(tmp_path / "products" / "p2", "p2")
        assert [o.resolved.configuration.clean.n_iter for o in (one, two)] == [2, 5]
    (two,) = observations(toml, names=["p2"], workspace=tmp_path / "out")
    assert two.workspace == Workspace(tmp_path / "out" / "p2", "p2")
    with pytest.raises(DataError, match="no such observation: p9") as caught:
        observations(toml, names=["p9"])
    assert "use p1, p2" in str(caught.value)


def test_the_command_line_has_the_last_word(toml, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("[clean]\nn_iter = 7\nboxes = 6\n")
    one, two = observations(toml, layers=Layers(mine, ("clean.boxes=4",)))
    assert [o.resolved.configuration.clean.n_iter for o in (one, two)] == [2, 7]
    assert [o.resolved.configuration.clean.boxes for o in (one, two)] == [4, 4]


@pytest.mark.parametrize("kind", ["folder", "toml"])
def test_a_workspace_that_was_run_knows_where_it_comes_from(raw, toml, kind):
    first = observations(raw if kind == "folder" else toml)[0]
    write_origin(first, "jwst_1234.pmap")
    write_stuck(first.workspace.stuck_list, {ROOT: {103: (2,)}})
    (again,) = observations(first.workspace.folder)
    assert (again.workspace, again.folder, again.spec) == (first.workspace, first.folder, first.spec)
    assert again.resolved.configuration == first.resolved.configuration
    assert again.special().stuck == {ROOT: {103: (2,)}}
    assert read_origin(again.workspace)["crds"] == "jwst_1234.pmap"


def test_a_workspace_is_not_put_elsewhere_or_renamed(raw, tmp_path):
    (first,) = observations(raw)
    write_origin(first, "")
    place = first.workspace.folder
    assert observations(place, workspace=place, names=["raw"])[0].workspace == first.workspace
    with pytest.raises(DataError, match="this is a workspace") as caught:
        observations(place, workspace=tmp_path / "elsewhere")
    assert str(raw) in str(caught.value)
    with pytest.raises(DataError, match="is that of raw"):
        observations(place, names=["ceers"])


def test_an_observation_that_is_gone_is_said(toml):
    write_origin(observations(toml)[0], "")
    toml.write_text(f"[p2]\n{ONE}")
    with pytest.raises(DataError, match="p1 is not in this file any more"):
        observations(toml.parent / "products" / "p1")


def test_a_damaged_origin_is_said(raw):
    (first,) = observations(raw)
    write_origin(first, "")
    first.workspace.origin.write_text("{")
    with pytest.raises(DataError, match="damaged") as caught:
        observations(first.workspace.folder)
    assert "delete it" in str(caught.value)


@pytest.mark.parametrize("name", ["none", "none.toml"])
def test_what_is_not_there_is_said(raw, tmp_path, name):
    with pytest.raises(DataError, match=r"not found|no such file|cannot be read"):
        observations(tmp_path / "sub" / name)[0].inputs()
