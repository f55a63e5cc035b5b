"""What the user points at: a folder of exposures, an `observations.toml`, or a workspace that was run before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nirfire.errors import DataError
from nirfire.pipeline.config import Resolved, load, observation_layer, set_layer, user_layer
from nirfire.pipeline.observation import Inputs, discover, files_in
from nirfire.pipeline.observations_file import (
    OBSERVATIONS_FILE,
    ObservationSpec,
    read_observations,
    select_files,
)
from nirfire.pipeline.special import Special
from nirfire.products.atomic import write_text
from nirfire.products.naming import Workspace
from nirfire.products.nod_lists import nod_name, read_nod_lists
from nirfire.products.positions import read_positions
from nirfire.products.regions import join_masks, read_masks
from nirfire.tasks.stuck import read_stuck

PRODUCTS = "products"


@dataclass(frozen=True)
class Observation:
    """An observation: where its exposures lie, where its products go, and what is special about it.

    Attributes
    ----------
    workspace : Workspace
        Products.
    folder : Path
        Exposures.
    spec : ObservationSpec or None
        Its table in ``observations.toml``.
    resolved : Resolved
        Its configuration.
    """

    workspace: Workspace
    folder: Path
    spec: ObservationSpec | None = None
    resolved: Resolved = field(default_factory=load)

    def inputs(self) -> Inputs:
        """Look at the exposures."""
        if self.spec is None:
            return discover(files_in(self.folder), folder=self.folder)
        return discover(select_files(self.spec), folder=self.folder, gratings=self.spec.gratings)

    def special(self) -> Special:
        """What people say of it: in files of the workspace, in the observations file, and of single sources."""
        stuck, drawn = read_stuck(self.workspace.stuck_list), read_masks(self.workspace.masks)
        listed = self.spec.masks if self.spec else {}
        masks = {name: join_masks((listed.get(name, ""), drawn.get(name, ""))) for name in listed | drawn}
        configuration = self.resolved.configuration
        calibrate, nodsub, extract = configuration.calibrate, configuration.nodsub, configuration.extract
        return Special(
            stuck,
            masks,
            self.spec.config_groups if self.spec else (),
            read_positions(self.workspace.positions) if self.workspace.positions.exists() else {},
            calibrate.source_types,
            () if calibrate.empirical_wavecorr is None else (calibrate.empirical_wavecorr,),
            read_nod_lists(self.workspace.nod_list),
            nodsub.background,
            nodsub.backgrounds,
            extract.method,
            extract.shapes,
            extract.photometry,
        )


def unused(special: Special, inputs: Inputs) -> list[str]:
    """What people say of exposures and sources that are not there: misspelt, most likely."""
    exposures = {str(e.name) for e in inputs.exposures}
    found = [f"mask for {name}, which is not among the exposures" for name in special.masks if name not in exposures]
    sources: dict[str, set[int]] = {}
    for exposure in inputs.exposures:
        sources.setdefault(exposure.name.root, set()).update(exposure.sources)
    for cutout in inputs.cutouts:
        sources.setdefault(cutout.name.root, set()).add(cutout.source)
    for root, listed in special.stuck.items():
        if missing := sorted(set(listed) - sources.get(root, set())):
            found.append(f"stuck shutters for source {', '.join(map(str, missing))}, which {root} does not have")
    found += _unused_nods(special, inputs)
    both = {e.name.both for e in inputs.exposures}
    found += [
        f"positions in {name}, which is not among the exposures" for name in special.positions if name not in both
    ]
    known = {source for listed in sources.values() for source in listed}
    placed = {source for listed in special.positions.values() for source in listed}
    own = (
        ("position", placed),
        ("type", set(special.source_types)),
        ("background", set(special.backgrounds)),
        ("shape", set(special.shapes)),
    )
    for what, named in own:
        found += [f"{what} of source {source}, which is not among the sources" for source in sorted(named - known)]
    return found


def _unused_nods(special: Special, inputs: Inputs) -> list[str]:
    names = [*(e.name for e in inputs.exposures), *(c.name for c in inputs.cutouts)]
    nods = {(name.visit, nod_name(name)) for name in names}
    found = []
    for root, lists in special.nods.items():
        visit = root.partition("_")[0]
        for source, said in lists.items():
            named = {
                *said.backgrounds,
                *said.left_out,
                *(nod for listed in said.backgrounds.values() for nod in listed),
            }
            absent = sorted(nod for nod in named if (visit, nod) not in nods)
            if absent:
                found.append(f"nod {', '.join(absent)} of {root}, source {source}: not among the exposures")
    return found


@dataclass(frozen=True)
class Layers:
    """Configuration from the command line: the user's file, and single settings."""

    file: Path | None = None
    items: tuple[str, ...] = ()

    def resolve(self, spec: ObservationSpec | None = None) -> Resolved:
        """Put all layers together."""
        own = observation_layer(spec.name, spec.overrides, spec.source) if spec else None
        return load(user_layer(self.file), own, set_layer(self.items))


def observations(
    target: Path,
    *,
    workspace: Path | None = None,
    names: Sequence[str] = (),
    layers: Layers | None = None,
) -> list[Observation]:
    """Find the observations that a target stands for.

    Parameters
    ----------
    target : Path
        A folder of exposures, an ``observations.toml`` or the folder that holds one, or a workspace.
    workspace : Path, optional
        Where the products go. With ``observations.toml`` each observation has a folder of its own in it.
    names : sequence of str
        Only these observations; for a folder of exposures, the one name it gets.
    layers : Layers, optional
        Configuration from the command line.

    Returns
    -------
    list of Observation

    Raises
    ------
    DataError
        There is no such target or observation, or the configuration cannot be used.
    """
    target, layers = target.resolve(), layers or Layers()
    file = target / OBSERVATIONS_FILE if target.is_dir() else target
    if file.suffix == ".toml" and (file.is_file() or not target.is_dir()):
        return _from_file(file, workspace, names, layers)
    made = Workspace(target, "")
    if made.origin.is_file():
        found = _from_workspace(made, layers)
        if workspace is not None and workspace.resolve() != target:
            raise DataError(
                "this is a workspace: its products go where they are",
                file=target,
                key="-w",
                remedy=f"leave -w out, or give the exposures instead: {found.folder}",
            )
        if set(names) - {found.workspace.observation}:
            held = f"this workspace is that of {found.workspace.observation}"
            raise DataError(held, file=target, key="--obs", remedy="leave --obs out")
        return [found]
    if len(names) > 1:
        raise DataError("a folder of exposures is one observation", key="--obs", remedy="give --obs once")
    name = names[0] if names else target.name
    place = Workspace((workspace or Path(f"{name}-nirfire")).resolve(), name)
    return [Observation(place, target, resolved=layers.resolve())]


def _from_file(file: Path, workspace: Path | None, names: Sequence[str], layers: Layers) -> list[Observation]:
    specs = read_observations(file)
    if unknown := sorted(set(names) - set(specs)):
        raise DataError(
            f"no such observation: {', '.join(unknown)}", file=file, key="--obs", remedy=f"use {', '.join(specs)}"
        )
    root = (workspace or file.parent / PRODUCTS).resolve()
    chosen = [specs[name] for name in names or specs]
    return [Observation(Workspace(root / s.name, s.name), s.folder, s, layers.resolve(s)) for s in chosen]


def _from_workspace(workspace: Workspace, layers: Layers) -> Observation:
    origin = read_origin(workspace)
    place = Workspace(workspace.folder, str(origin["observation"]))
    if not origin.get("file"):
        return Observation(place, Path(origin["folder"]), resolved=layers.resolve())
    spec = read_observations(Path(origin["file"])).get(place.observation)
    if spec is None:
        raise DataError(
            f"the observation {place.observation} is not in this file any more",
            file=origin["file"],
            remedy=f"put it back, or remove {workspace.origin}",
        )
    return Observation(place, spec.folder, spec, layers.resolve(spec))


def read_origin(workspace: Workspace) -> dict[str, str]:
    """Where the exposures of a workspace come from; empty before the first run.

    Raises
    ------
    DataError
        The file is damaged.
    """
    if not workspace.origin.is_file():
        return {}
    try:
        return json.loads(workspace.origin.read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"damaged: {error}", file=workspace.origin, remedy="delete it and run again") from error


def write_origin(observation: Observation, crds: str) -> None:
    """Note in the workspace where its exposures come from, and which references were used."""
    place = observation.workspace
    facts = {
        "observation": place.observation,
        "folder": str(observation.folder),
        "file": str(observation.spec.source) if observation.spec else "",
        "crds": crds,
    }
    text = json.dumps(facts, indent=1) + "\n"
    if not place.origin.is_file() or place.origin.read_text() != text:
        write_text(place.origin, text)
