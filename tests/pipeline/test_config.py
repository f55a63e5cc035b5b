"""Layers of the configuration, their origins, and messages about what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nirfire.errors import DataError
from nirfire.pipeline import config
from nirfire.pipeline.config import DEFAULT, SET, Configuration, load, merge, observation_layer, set_layer, user_layer
from nirfire.pipeline.config_doc import reference_page, rows
from nirfire.tasks.settings import CalibrateSettings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.fixture
def user_file(tmp_path):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


def message(*layers):
    with pytest.raises(DataError) as caught:
        load(*layers)
    return str(caught.value)


def test_without_layers_all_is_default():
    resolved = load()
    assert resolved.configuration == Configuration()
    assert set(resolved.origins.values()) == {DEFAULT}
    assert "clean.n_iter" in resolved.origins and "execution.retries" in resolved.origins


def test_later_layers_win_and_origins_tell(user_file):
    path = user_file("[clean]\nn_iter = 2\nboxes = 4\nmargin = 1\n")
    observation = observation_layer("p1", {"clean": {"n_iter": 3, "boxes": 6}}, Path("observations.toml"))
    resolved = load(user_layer(path), observation, None, set_layer(["clean.n_iter=4"]))
    clean = resolved.configuration.clean
    assert (clean.n_iter, clean.boxes, clean.margin, clean.surface) == (4, 6, 1, True)
    origins = [resolved.origins[f"clean.{key}"] for key in ("n_iter", "boxes", "margin", "surface")]
    assert origins == [SET, "observation p1: observations.toml", f"user: {path}", DEFAULT]


def test_steps_are_merged_deeply(user_file):
    path = user_file("[detector.steps.jump]\nskip = false\nrejection_threshold = 4.0\n")
    resolved = load(user_layer(path), set_layer(["detector.steps.jump.rejection_threshold=5"]))
    assert resolved.configuration.detector.steps == {"jump": {"skip": False, "rejection_threshold": 5}}
    assert resolved.origins["detector.steps.jump.skip"] == f"user: {path}"
    assert resolved.origins["detector.steps.jump.rejection_threshold"] == SET


def test_merge_keeps_its_arguments_and_replaces_lists():
    below, above = {"a": {"x": [1, 2], "y": 1}}, {"a": {"x": [3]}}
    assert merge(below, above) == {"a": {"x": [3], "y": 1}}
    assert below == {"a": {"x": [1, 2], "y": 1}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("true", True),
        ("False", False),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("median", "median"),
        ("a = b", "a = b"),
        ("1\nx = 2", "1\nx = 2"),
        ("", ""),
    ],
)
def test_values_of_set_items(text, value):
    layer = set_layer([f"calibrate.steps.flat_field.skip={text}"])
    assert layer.values == {"calibrate": {"steps": {"flat_field": {"skip": value}}}}


def test_last_set_item_wins_and_all_are_kept():
    resolved = load(set_layer(["clean.n_iter=2", "clean.n_iter=3", "redshift.z_max = 8", "execution.executor=parsl"]))
    found = resolved.configuration
    assert (found.clean.n_iter, found.redshift.z_max, found.execution.executor) == (3, 8.0, "parsl")
    assert set_layer([]) is None


@pytest.mark.parametrize("item", ["clean.n_iter", "=3", "clean.=3", ".n_iter=3"])
def test_set_items_of_a_wrong_form(item):
    with pytest.raises(DataError, match="key=value") as caught:
        set_layer([item])
    assert item in str(caught.value)


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ("clean.niter=3", "did you mean clean.n_iter?"),
        ("celan.n_iter=3", "did you mean clean?"),
        ("n_iter=3", "did you mean clean.n_iter?"),
        ("redshift.half_width=3", "did you mean extract.half_width?"),
        ("nodsub.qqq=3", "valid names: nodsub.least"),
        ("qqq=3", "valid names: detector, clean, shutters, calibrate"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(item, wanted):
    text = message(set_layer([item]))
    assert wanted in text and SET in text and f"key: {item.partition('=')[0].split('.n')[0]}" in text


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ("clean.n_iter=0", "0 given; must be a whole number >= 1"),
        ("clean.n_iter=1.5", "1.5 given; must be a whole number >= 1"),
        ('clean.n_iter="3"', '"3" given; must be a whole number >= 1'),
        ("clean.rows=maybe", '"maybe" given; must be true or false'),
        ("clean.columns=1", "1 given; must be true or false"),
        ("extract.half_width=0", "0 given; must be a number > 0"),
        ("execution.executor=slurm", '"slurm" given; must be one of local, parsl'),
        ("execution.crds_context=latest", '"latest" given; must be text matching jwst_'),
        ("detector.steps=3", "3 given; must be a table"),
        ("detector.steps.jump=3", "3 given; must be a table"),
        ("clean=3", "3 given; must be a table"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(item, wanted):
    text = message(set_layer([item]))
    assert wanted in text and f"key: {item.partition('=')[0]}" in text
    assert "pydantic" not in text


def test_numbers_may_be_whole_or_infinite():
    execution = load(set_layer(["execution.worker_memory=inf"])).configuration.execution
    assert execution.worker_memory == float("inf")
    assert load(set_layer(["execution.worker_memory=4"])).configuration.execution.worker_memory == 4.0


def test_all_problems_of_a_file_come_at_once(user_file):
    path = user_file("surprise = 1\n[clean]\nniter = 3\nboxes = 1\n[execution]\njobs = 0\n")
    text = message(user_layer(path))
    for part in ("4 problems", "surprise", "clean.niter", "clean.boxes", "execution.jobs", str(path)):
        assert part in text


def test_a_fault_is_laid_at_its_own_file(user_file):
    path = user_file("[clean]\nboxes = 1\n")
    text = message(user_layer(path), set_layer(["clean.n_iter=3"]))
    assert str(path) in text and SET not in text
    observation = observation_layer("p1", {"clean": {"niter": 3}}, Path("observations.toml"))
    text = message(user_layer(user_file("")), observation)
    assert "file: observations.toml" in text and "key: p1.clean.niter" in text


def test_bad_toml_is_reported_with_its_line(user_file):
    path = user_file("[clean]\nn_iter = \n")
    with pytest.raises(DataError, match="line 2") as caught:
        user_layer(path)
    assert caught.value.file == path


def test_where_the_user_file_is_looked_for(tmp_path, monkeypatch):
    home = tmp_path / "home.toml"
    monkeypatch.setattr(config, "default_user_file", lambda: home)
    monkeypatch.delenv("NIRFIRE_CONFIG", raising=False)
    assert user_layer() is None
    home.write_text("[clean]\nn_iter = 1\n")
    assert user_layer().values == {"clean": {"n_iter": 1}}
    named = tmp_path / "named.toml"
    monkeypatch.setenv("NIRFIRE_CONFIG", str(named))
    with pytest.raises(DataError, match="not found"):
        user_layer()
    named.write_text("[clean]\nn_iter = 2\n")
    assert user_layer().values == {"clean": {"n_iter": 2}}
    given = tmp_path / "given.toml"
    given.write_text("[clean]\nn_iter = 3\n")
    assert user_layer(given).values == {"clean": {"n_iter": 3}}


def test_default_user_file_is_in_the_users_folder(monkeypatch):
    assert config.default_user_file().parts[-2:] == ("nirfire", "config.toml")


def test_a_file_that_begins_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('\ufeff[redshift]\r\ntemplates = "published"\r\n', encoding="utf-8")
    assert load(user_layer(path)).configuration.redshift.templates == "published"


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        user_layer(path)
    with pytest.raises(DataError, match="cannot be read"):
        user_layer(tmp_path)


def test_rows_show_every_value_with_its_origin():
    found = {key: (value, origin, text) for key, value, origin, text in rows(load(set_layer(["clean.n_iter=3"])))}
    assert found["clean.n_iter"][:2] == ("3", SET) and found["clean.n_iter"][2]
    assert found["clean.rows"][:2] == ("not set", DEFAULT)
    assert found["clean.surface"][0] == "true" and found["redshift.templates"][0] == '"default"'
    assert all(text for _, _, text in found.values()), "a setting without description"
    assert list(found) == list(load().origins)


def test_rows_show_parameters_of_stock_steps():
    found = {row[0]: row for row in rows(load(set_layer(["stack.steps.pixel_replace.n_adjacent_cols=4"])))}
    key = "stack.steps.pixel_replace.n_adjacent_cols"
    assert found[key][1:3] == ("4", SET) and found[key][3]


def test_settings_that_change_no_product_make_none_stale() -> None:
    changed = CalibrateSettings(
        share=False, keep_inputs=True, empirical_wavecorr="a.ecsv", source_types={101: "extended"}
    )
    assert changed.model_dump(mode="json") == CalibrateSettings().model_dump(mode="json")
    assert changed.empirical_wavecorr is not None
    assert changed.empirical_wavecorr.is_absolute()


def test_the_committed_page_is_the_generated_one():
    assert PAGE.read_text() == reference_page(), "write docs/configuration.md anew with `nirfire config doc`"


def test_the_examples_of_the_page_are_valid(tmp_path):
    page = reference_page()
    example = page.split("```toml\n")[1].split("```")[0]
    path = tmp_path / "config.toml"
    path.write_text(example)
    assert load(user_layer(path)).configuration.clean.n_iter == 3


def test_reading_the_configuration_is_light():
    heavy = "{'numpy', 'astropy', 'scipy', 'jwst', 'parsl', 'regions', 'matplotlib'}"
    code = (
        f"import sys, nirfire.pipeline.config_doc as d; d.reference_page(); print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
