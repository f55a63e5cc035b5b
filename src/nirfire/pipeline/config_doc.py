"""The configuration for people: its values with their origins, and the reference page of the documentation."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nirfire.pipeline.config import Configuration, Resolved, describe_kind, describe_limits, leaves, settings_fields
from nirfire.pipeline.observations_file import OPTIONAL, REQUIRED, SECTIONS

LEAD = """# Configuration

<!-- Written by `nirfire config doc`; do not edit. -->

Settings say how a stage works, never whether it runs. They come in layers, and later layers win:

1. the defaults below;
2. your configuration file: the one given with `-c FILE`, else that of the environment variable `NIRFIRE_CONFIG`, else
   `nirfire/config.toml` in your configuration folder (`~/.config` on Linux), if there is one;
3. the tables of the observation in `observations.toml`;
4. `--set key=value` on the command line, as often as needed, for example `--set clean.n_iter=3`. The value is in TOML
   notation; what is not TOML is taken as plain text.

Layers are merged deeply: a table adds to the same table of the layers below and replaces only the keys that it names,
also inside `steps`. Lists are replaced as a whole. `nirfire config show` prints every value and where it comes from.

A configuration file is TOML, with one table per section:

```toml
[clean]
n_iter = 3

[detector.steps.jump]
rejection_threshold = 5.0

[execution]
jobs = 4
```

A name that does not exist is an error, and the message gives the nearest one that does. The keys of a `steps` table are
the names of stock steps, each with a table of parameters handed to that step as they are; the stock step checks them.
"""

OBSERVATIONS = """## `observations.toml`

One table per observation; its name becomes the name of the workspace and begins the names of the products. All
exposures of an observation must share one MSA catalogue.

```toml
[ceers-p1]
field = "EGS"
program = "ceers"
data_subdir = "raw/1345"
files = ["jw01345062001_*", "~*_00001_nrs?_uncal.fits"]
gratings = ["PRISM"]

[ceers-p1.clean]
n_iter = 3

[ceers-p1.masks]
jw01345062001_03101_00002_nrs1 = '''
image
polygon(100, 200, 150, 200, 150, 230, 100, 230)
'''
```
"""


def rows(resolved: Resolved) -> list[tuple[str, str, str, str]]:
    """List every setting.

    Parameters
    ----------
    resolved : Resolved
        A configuration.

    Returns
    -------
    list of (str, str, str, str)
        Dotted key, value in TOML notation (``not set`` for None), origin, description.
    """
    fields = settings_fields()
    return [
        (key, value_text(value), resolved.origins[key], _description(key, fields))
        for key, value in leaves(resolved.configuration).items()
    ]


def value_text(value: Any) -> str:
    """A value in TOML notation; ``not set`` for None."""
    if value is None:
        return "not set"
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def _description(key: str, fields: dict[str, FieldInfo]) -> str:
    """Description of a setting, or of the table that it stands in."""
    while key not in fields and "." in key:
        key = key.rpartition(".")[0]
    return (fields[key].description or "") if key in fields else ""


def reference_page() -> str:
    """Write the reference of the configuration.

    Returns
    -------
    str
        Markdown, with a table per section made from the models.
    """
    sections = [_section(name, field) for name, field in Configuration.model_fields.items()]
    return "\n".join([LEAD, *sections, OBSERVATIONS, _observation_keys()])


def _section(name: str, field: FieldInfo) -> str:
    model = field.annotation
    assert isinstance(model, type) and issubclass(model, BaseModel)
    about = inspect.cleandoc(model.__doc__ or "").replace("``", "`")
    lines = []
    for key, setting in settings_fields(model).items():
        default = value_text(setting.get_default(call_default_factory=True, validated_data={}))
        limits = describe_limits(setting)
        cells = (f"`{key}`", describe_kind(setting), _code(default), _code(limits), setting.description or "")
        lines.append(cells)
    return f"## `[{name}]`\n\n{about}\n\n" + _table(("key", "type", "default", "range", "meaning"), lines)


def _observation_keys() -> str:
    lines = [(f"`{key}`", "yes", text) for key, text in REQUIRED.items()]
    lines += [(f"`{key}`", "no", text) for key, text in OPTIONAL.items()]
    sections = ", ".join(f"`{name}`" for name in SECTIONS)
    lines.append((sections, "no", "tables of settings that differ for this observation"))
    return _table(("key", "required", "meaning"), lines)


def _code(text: str) -> str:
    return f"`{text}`" if text and text != "not set" else text


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    parts = [head, ["---"] * len(head), *escaped]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in parts)
