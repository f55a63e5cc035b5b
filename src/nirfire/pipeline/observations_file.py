"""The file `observations.toml`: which exposures belong to which observation, and what is special about each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nirfire.errors import DataError
from nirfire.pipeline.config import (
    Configuration,
    Problem,
    find_problems,
    join_problems,
    observation_layer,
    read_toml,
    suggestion,
)
from nirfire.products.naming import RATE, ExposureName
from nirfire.products.regions import canonical_mask

__all__ = [
    "OBSERVATIONS_FILE",
    "ObservationSpec",
    "canonical_mask",
    "read_observations",
    "select_files",
    "unused_masks",
]

OBSERVATIONS_FILE = "observations.toml"
EXCLUDE = "~"
GRATINGS = ("PRISM", "G140M", "G140H", "G235M", "G235H", "G395M", "G395H")
REQUIRED = {
    "field": "name of the field on the sky",
    "program": "name of the program",
    "data_subdir": "folder of the exposures, relative to this file or absolute",
    "files": "pattern or list of patterns of file names in that folder; a leading `~` excludes; a pattern without "
    "`.fits` matches the start of a name",
}
OPTIONAL = {
    "gratings": "the gratings to reduce; by default all",
    "program_id": "number of the program; by default characters 3 to 7 of the first pattern",
    "config_groups": "lists of activity codes (`GGSAA` in `jwPPPPPOOOVVV_GGSAA_EEEEE_nrsN`) whose nods may pair",
    "masks": "table: exposure (with or without `_rate`) = DS9 regions in image coordinates, or the path of a `.reg`",
}
SECTIONS = tuple(name for name in Configuration.model_fields if name != "cluster")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
PROGRAM = re.compile(r"jw\d{5}")
ACTIVITY = re.compile(r"\d{5}")


@dataclass(frozen=True)
class ObservationSpec:
    """One observation of `observations.toml`.

    Attributes
    ----------
    name, field, program : str
        Names of the observation, of its field and of its program.
    folder : Path
        Folder of the exposures.
    files : tuple of str
        Patterns of file names; a leading ``~`` excludes.
    gratings : frozenset of str, or None
        Gratings to reduce, in capitals; None for all.
    program_id : str
        Five digits.
    config_groups : tuple of tuple of str
        Activity codes whose nods may pair.
    masks : dict of str to str
        DS9 regions by exposure, for example ``jw01345062001_03101_00001_nrs1``.
    overrides : dict
        Settings that differ for this observation, by section.
    source : Path
        The file that says so.
    """

    name: str
    field: str
    program: str
    folder: Path
    files: tuple[str, ...]
    gratings: frozenset[str] | None
    program_id: str
    config_groups: tuple[tuple[str, ...], ...]
    masks: dict[str, str]
    overrides: dict[str, Any]
    source: Path


def read_observations(path: Path) -> dict[str, ObservationSpec]:
    """Read `observations.toml`.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to ObservationSpec
        By name, in the order of the file.

    Raises
    ------
    DataError
        The file cannot be used; the message names everything that is wrong with it.
    """
    content = read_toml(path)
    if not content:
        raise DataError("no observation in this file", file=path, remedy="add a table such as [ceers-p1]")
    problems = _bad_names(content)
    specs: dict[str, ObservationSpec] = {}
    for name, table in content.items():
        if isinstance(table, dict):
            reader = _Reader(name, table, path)
            spec = reader.read()
            problems += reader.problems
            if spec is not None:
                specs[name] = spec
    if problems:
        raise join_problems(problems, path)
    return specs


def _bad_names(content: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for name, table in content.items():
        if not isinstance(table, dict):
            problems.append(Problem(name, "must stand in the table of an observation, such as [ceers-p1]"))
        elif NAME.fullmatch(name) is None:
            problems.append(Problem(name, "a name of an observation has letters, digits and . _ + - only"))
        elif (other := seen.setdefault(name.lower(), name)) != name:
            problems.append(Problem(name, f"differs from observation {other} in capitals only"))
    return problems


@dataclass
class _Reader:
    """Reads one observation and collects what is wrong with it."""

    name: str
    table: dict[str, Any]
    source: Path
    problems: list[Problem] = field(default_factory=list)

    def read(self) -> ObservationSpec | None:
        """Make the observation; None when anything is wrong."""
        self._check_keys()
        folder = self._text("data_subdir")
        files = self._patterns()
        spec = ObservationSpec(
            name=self.name,
            field=self._text("field"),
            program=self._text("program"),
            folder=self.source.parent.absolute() / Path(folder).expanduser(),
            files=files,
            gratings=self._gratings(),
            program_id=self._program_id(files),
            config_groups=self._config_groups(),
            masks=self._masks(),
            overrides=self._overrides(),
            source=self.source,
        )
        return None if self.problems else spec

    def _bad(self, key: str, text: str) -> None:
        self.problems.append(Problem(f"{self.name}.{key}", text))

    def _check_keys(self) -> None:
        known = (*REQUIRED, *OPTIONAL, *SECTIONS)
        for key in self.table:
            if key == "cluster":
                self._bad(key, "not for one observation; put it into the user configuration file")
            elif key not in known:
                self._bad(key, f"unknown key; {suggestion(key, known)}")

    def _text(self, key: str) -> str:
        value = self.table.get(key)
        if value is None:
            self._bad(key, f"missing: {REQUIRED[key]}")
        elif not isinstance(value, str) or not value.strip():
            self._bad(key, f"{value!r} given; must be text")
        return value if isinstance(value, str) else ""

    def _texts(self, key: str) -> tuple[str, ...] | None:
        """A text or a list of texts as a tuple; None when absent or wrong."""
        value = self.table.get(key)
        values = [value] if isinstance(value, str) else value
        if value is None:
            return None
        if not isinstance(values, list) or not values or not all(isinstance(v, str) and v.strip() for v in values):
            self._bad(key, f"{value!r} given; must be text or a list of texts")
            return None
        return tuple(values)

    def _patterns(self) -> tuple[str, ...]:
        if "files" not in self.table:
            self._bad("files", f"missing: {REQUIRED['files']}")
        patterns = self._texts("files") or ()
        if patterns and not _inclusions(patterns):
            self._bad("files", "all patterns exclude; add one that includes")
        for pattern in patterns:
            if "/" in pattern.removeprefix(EXCLUDE):
                self._bad("files", f"{pattern!r}: patterns are of file names in data_subdir, without folders")
        return patterns

    def _gratings(self) -> frozenset[str] | None:
        given = self._texts("gratings")
        if given is None:
            return None
        for grating in given:
            if grating.upper() not in GRATINGS:
                self._bad("gratings", f"unknown grating {grating}; {suggestion(grating.upper(), GRATINGS)}")
        return frozenset(grating.upper() for grating in given)

    def _program_id(self, patterns: tuple[str, ...]) -> str:
        given = self.table.get("program_id")
        if given is None:
            first = next(iter(_inclusions(patterns)), "")
            if patterns and PROGRAM.match(first) is None:
                self._bad("program_id", f"cannot be read from the pattern {first!r}; give it")
            return first[2:7]
        text = str(given)
        if isinstance(given, bool) or not text.isdigit() or len(text) > 5:
            self._bad("program_id", f"{given!r} given; must be a number of at most five digits")
        return text.zfill(5)

    def _config_groups(self) -> tuple[tuple[str, ...], ...]:
        given = self.table.get("config_groups", [])
        if not isinstance(given, list) or not all(isinstance(g, list) and g for g in given):
            self._bad("config_groups", f"{given!r} given; must be a list of lists of activity codes")
            return ()
        codes = [code for group in given for code in group]
        for code in codes:
            if not isinstance(code, str) or ACTIVITY.fullmatch(code) is None:
                self._bad("config_groups", f"{code!r} given; an activity code is a text of five digits such as '03101'")
        for code in sorted({str(code) for code in codes if codes.count(code) > 1}):
            self._bad("config_groups", f"activity {code} stands twice; an activity belongs to one group")
        return tuple(tuple(map(str, group)) for group in given)

    def _masks(self) -> dict[str, str]:
        given = self.table.get("masks", {})
        if not isinstance(given, dict):
            self._bad("masks", "must be a table of exposure = regions")
            return {}
        masks: dict[str, str] = {}
        for key, value in given.items():
            exposure = _exposure_of(key)
            if exposure is None:
                self._bad(f"masks.{key}", "not an exposure such as jw01345062001_03101_00001_nrs1")
            elif exposure in masks:
                self._bad(f"masks.{key}", f"the exposure {exposure} has two masks")
            elif not isinstance(value, str):
                self._bad(f"masks.{key}", f"{value!r} given; must be DS9 regions or the path of a .reg file")
            else:
                masks[exposure] = self._regions(key, value)
        return masks

    def _regions(self, key: str, value: str) -> str:
        """Text of the regions, from their file when a path is given."""
        if "\n" in value.strip() or not value.strip().lower().endswith(".reg"):
            return value
        file = self.source.parent / Path(value.strip()).expanduser()
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self._bad(f"masks.{key}", f"the region file cannot be read: {error}")
            return ""

    def _overrides(self) -> dict[str, Any]:
        overrides = {key: value for key, value in self.table.items() if key in SECTIONS}
        layer = observation_layer(self.name, overrides, self.source)
        for problem in find_problems({}, layer):
            self._bad(problem.key, problem.text)
        return overrides


def _inclusions(patterns: Iterable[str]) -> list[str]:
    return [pattern for pattern in patterns if not pattern.startswith(EXCLUDE)]


def _exposure_of(key: str) -> str | None:
    """Exposure of a mask's key, with or without ``_rate`` and ``.fits``."""
    stem = key.removesuffix(".fits").removesuffix(RATE.removesuffix(".fits"))
    name = ExposureName.from_path(stem)
    return stem if name is not None and name.exposure == stem else None


def select_files(spec: ObservationSpec) -> list[Path]:
    """List the files of an observation.

    Parameters
    ----------
    spec : ObservationSpec
        The observation.

    Returns
    -------
    list of Path
        The ``jw*.fits`` files of its folder, not below, that a pattern includes and none excludes; sorted.

    Raises
    ------
    DataError
        The folder is absent, a pattern matches no file, or all files are excluded.
    """
    if not spec.folder.is_dir():
        raise DataError(
            f"folder of observation {spec.name} not found: {spec.folder}",
            file=spec.source,
            key=f"{spec.name}.data_subdir",
        )
    names = sorted(path.name for path in spec.folder.glob("jw*.fits") if path.is_file())
    matches = {pattern: _matches(pattern.removeprefix(EXCLUDE), names) for pattern in spec.files}
    if missing := [pattern for pattern, found in matches.items() if not found]:
        raise DataError(
            f"no jw*.fits file in {spec.folder} matches {', '.join(map(repr, missing))}",
            file=spec.source,
            key=f"{spec.name}.files",
            remedy="mend or remove the pattern, or download the files",
        )
    included = set().union(*(matches[pattern] for pattern in _inclusions(spec.files)))
    excluded = set().union(*(found for pattern, found in matches.items() if pattern.startswith(EXCLUDE)))
    if not included - excluded:
        raise DataError("the patterns exclude every file", file=spec.source, key=f"{spec.name}.files")
    return [spec.folder / name for name in sorted(included - excluded)]


def _matches(pattern: str, names: Iterable[str]) -> set[str]:
    whole = pattern if pattern.endswith(".fits") else f"{pattern}*"
    return {name for name in names if fnmatchcase(name, whole)}


def unused_masks(spec: ObservationSpec, files: Iterable[Path]) -> list[str]:
    """Exposures that have a mask but no file; usually a misspelled key."""
    present = {str(name) for path in files if (name := ExposureName.from_path(path)) is not None}
    return sorted(set(spec.masks) - present)
