"""The configuration of a run: its models, the layers it is made of, and where each value came from.

Later layers win: defaults < user file < tables of the observation in ``observations.toml`` < ``--set`` items. Layers
are merged deeply: a table adds to or replaces keys of the same table in the layers below, at every level, also in
``steps``; any other value, a list included, replaces the value below.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import platformdirs
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from nirfire.errors import DataError
from nirfire.pipeline.cluster_settings import ClusterSettings
from nirfire.tasks.settings import Config, Settings

DEFAULT, SET = "default", "--set"
USER_FILE_VARIABLE = "NIRFIRE_CONFIG"


class ExecutionSettings(Settings):
    """How jobs are executed."""

    jobs: int | None = Field(None, ge=1, description="worker processes on this machine; by default one per core")
    executor: Literal["local", "parsl"] = Field("local", description="processes of this machine, or Parsl")
    retries: int = Field(2, ge=0, description="new tries of a job after an input/output or CRDS network error")
    worker_memory: float = Field(
        6.0, gt=0, description="memory of a worker [GB]; one that holds more after a job is replaced"
    )
    crds_context: str | None = Field(
        None, pattern=r"^jwst_\d{4,}\.pmap$", description="CRDS context; by default the server's or the cache's own"
    )


class Configuration(Config):
    """Configuration of a run: all tasks, the execution and the cluster."""

    execution: ExecutionSettings = ExecutionSettings()
    cluster: ClusterSettings = ClusterSettings()


@dataclass(frozen=True)
class Layer:
    """Settings of one origin.

    Attributes
    ----------
    values : dict
        Nested tables of settings.
    origin : str
        Where they come from, in words.
    file : Path or None
        The file that holds them; None for ``--set``.
    prefix : str
        What stands before the dotted keys in that file.
    """

    values: dict[str, Any]
    origin: str
    file: Path | None = None
    prefix: str = ""


@dataclass(frozen=True)
class Resolved:
    """A validated configuration, and the origin of each of its values by dotted key."""

    configuration: Configuration
    origins: dict[str, str]


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a layer: the dotted key and what is wrong with it."""

    key: str
    text: str


def load(*layers: Layer | None) -> Resolved:
    """Merge layers over the defaults and validate the result.

    Parameters
    ----------
    *layers : Layer or None
        From the weakest to the strongest; None is left out.

    Returns
    -------
    Resolved

    Raises
    ------
    DataError
        Unknown keys or wrong values; it names all of the first layer that has any.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        if layer is None:
            continue
        if problems := find_problems(values, layer):
            raise error_of(problems, layer)
        values = merge(values, layer.values)
        origins.update(dict.fromkeys(leaves(layer.values), layer.origin))
    configuration = Configuration.model_validate_json(_json(values), strict=True)
    return Resolved(configuration, {key: origins.get(key, DEFAULT) for key in leaves(configuration)})


def user_layer(path: Path | None = None) -> Layer | None:
    """Read the user's configuration file.

    Parameters
    ----------
    path : Path, optional
        The file; by default that of ``$NIRFIRE_CONFIG``, else ``config.toml`` in the user's configuration folder.

    Returns
    -------
    Layer or None
        None when no file was named and there is none in the user's configuration folder.

    Raises
    ------
    DataError
        A named file is absent, or the file cannot be read.
    """
    named = path or os.environ.get(USER_FILE_VARIABLE)
    file = Path(named).expanduser() if named else default_user_file()
    if not named and not file.is_file():
        return None
    return Layer(read_toml(file), f"user: {file}", file)


def default_user_file() -> Path:
    """Where the user's configuration file is looked for when none is named."""
    return Path(platformdirs.user_config_dir("nirfire")) / "config.toml"


def observation_layer(name: str, overrides: dict[str, Any], file: Path) -> Layer:
    """Make the layer of an observation from its tables in ``observations.toml``."""
    return Layer(overrides, f"observation {name}: {file}", file, f"{name}.")


def set_layer(items: Sequence[str]) -> Layer | None:
    """Make the layer of ``--set`` items such as ``clean.n_iter=3``.

    Parameters
    ----------
    items : sequence of str
        Dotted key, ``=``, and a value in TOML notation; what is not TOML is taken as plain text.

    Returns
    -------
    Layer or None
        None without items.

    Raises
    ------
    DataError
        An item that is not of this form.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise DataError(f"{SET} {item}: not of the form key=value", key=SET, remedy="for example clean.n_iter=3")
        nested: Any = _value(text.strip())
        for part in reversed(parts):
            nested = {part: nested}
        values = merge(values, nested)
    return Layer(values, SET) if values else None


def _value(text: str) -> Any:
    """Value of a ``--set`` item."""
    if text in ("True", "False"):
        return text == "True"
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a `DataError` names the file, and the line of bad notation."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise DataError("configuration file not found", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", file=path) from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not valid TOML: {error}", file=path, remedy="mend the line named above") from error


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested tables deeply; where both have a value that is not a table, ``above`` wins."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def leaves(value: Any, key: str = "") -> dict[str, Any]:
    """Flatten a model or nested tables into values by dotted key; an empty table counts as a value."""
    if isinstance(value, BaseModel):
        items: Iterable[tuple[str, Any]] = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, Mapping) and value:
        items = value.items()
    else:
        return {key: value} if key else {}
    flat: dict[str, Any] = {}
    for name, inner in items:
        flat |= leaves(inner, f"{key}.{name}" if key else name)
    return flat


def find_problems(below: Mapping[str, Any], layer: Layer) -> list[Problem]:
    """Find all unknown keys and wrong values that a layer brings.

    Parameters
    ----------
    below : mapping
        The merged values of the layers below, which are valid.
    layer : Layer
        The layer to check.

    Returns
    -------
    list of Problem
    """
    try:
        Configuration.model_validate_json(_json(merge(below, layer.values)), strict=True)
    except ValidationError as error:
        found: dict[str, Problem] = {}
        for item in error.errors(include_url=False):
            problem = _problem(item)
            found.setdefault(problem.key, problem)
        return list(found.values())
    return []


def _json(values: Mapping[str, Any]) -> str:
    """Tables as JSON text, from which pydantic reads paths and tuples but takes no text for a number."""
    return json.dumps(values, default=str)


def _problem(item: Any) -> Problem:
    """A pydantic error in plain words."""
    if item["type"] == "extra_forbidden":
        key = ".".join(map(str, item["loc"]))
        return Problem(key, f"unknown setting; {suggestion(key, settings_fields())}")
    key, wanted = _wanted_at(item["loc"])
    if item["type"] in ("model_type", "dict_type"):
        wanted = "a table"
    if item["type"] == "value_error" or wanted is None:
        return Problem(key, item["msg"].removeprefix("Value error, "))
    return Problem(key, f"{json.dumps(item['input'], default=str)} given; must be {wanted}")


def _wanted_at(where: tuple[int | str, ...]) -> tuple[str, str | None]:
    """Dotted key of a pydantic location, and the values allowed there (None when it is no setting)."""
    fields = settings_fields()
    for end in range(len(where), 0, -1):
        field = fields.get(".".join(map(str, where[:end])))
        if field is None:
            continue
        if get_origin(field.annotation) is dict and end < len(where):
            return ".".join(map(str, where)), _kind(get_args(field.annotation)[1])
        return ".".join(map(str, where[:end])), describe_values(field)  # the rest: list index, member of a union
    return ".".join(map(str, where)), None


def settings_fields(model: type[BaseModel] = Configuration) -> dict[str, FieldInfo]:
    """Fields of all settings of a model by dotted key, in order."""
    return dict(_fields(model, ""))


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def suggestion(key: str, known: Iterable[str]) -> str:
    """Say which valid name is nearest to an unknown one, or which there are.

    Parameters
    ----------
    key : str
        The unknown dotted key.
    known : iterable of str
        All valid dotted keys.

    Returns
    -------
    str
        For example ``did you mean clean.n_iter?``.
    """
    parent, _, last = key.rpartition(".")
    names = list(known)
    lead = f"{parent}." if parent else ""
    siblings = list(dict.fromkeys(name[len(lead) :].split(".")[0] for name in names if name.startswith(lead)))
    if near := difflib.get_close_matches(last, siblings, n=1):
        return f"did you mean {lead}{near[0]}?"
    by_last = {name.rpartition(".")[2]: name for name in reversed(names)}
    if near := difflib.get_close_matches(last, by_last, n=1, cutoff=0.75):
        return f"did you mean {by_last[near[0]]}?"
    if near := difflib.get_close_matches(key, names, n=1, cutoff=0.75):
        return f"did you mean {near[0]}?"
    return f"valid names: {', '.join(lead + name for name in siblings or names)}"


def error_of(problems: Sequence[Problem], layer: Layer) -> DataError:
    """One error that names all problems of a layer."""
    return join_problems([Problem(layer.prefix + p.key, p.text) for p in problems], layer.file)


def join_problems(problems: Sequence[Problem], file: Path | None) -> DataError:
    """One error that names all problems of a file, or of ``--set`` when there is no file."""
    lead = "" if file else f"{SET}: "
    if len(problems) == 1:
        return DataError(lead + problems[0].text, file=file, key=problems[0].key)
    lines = [f"{lead}{len(problems)} problems", *(f"  {problem.key}: {problem.text}" for problem in problems)]
    return DataError("\n".join(lines), file=file)


def describe_values(field: FieldInfo) -> str:
    """Describe the values a setting may take, for example ``a whole number >= 1``."""
    words = describe_kind(field)
    return f"{words} {limits}" if (limits := describe_limits(field)) else words


def describe_kind(field: FieldInfo) -> str:
    """Describe the kind of value of a setting, for example ``a whole number``."""
    return _kind(field.annotation)


def describe_limits(field: FieldInfo) -> str:
    """Describe the range of a setting, for example ``>= 1``; empty without one."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "of at least", "pattern": "matching"}
    found = []
    for item in field.metadata:
        for name, sign in signs.items():
            if (bound := getattr(item, name, None)) is not None:
                found.append(f"{sign} {str(bound).strip('^$')}")
    return " and ".join(found)


def _kind(annotation: Any) -> str:
    """Kind of value that an annotation stands for, in words."""
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    if annotation in plain:
        return plain[annotation]
    origin, arguments = get_origin(annotation), [a for a in get_args(annotation) if a is not type(None)]
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(a) for a in arguments)
    if origin in (list, tuple, set, frozenset):
        return "a list of " + _kind(arguments[0]).removeprefix("a ") if arguments else "a list"
    return "a table" if origin is dict else "a value"
