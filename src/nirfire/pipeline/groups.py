"""Background groups: which nods of a source are subtracted from which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nirfire.pipeline.observation import Exposure
from nirfire.products.naming import ExposureName
from nirfire.products.nod_lists import NodList, NodLists, list_of, nod_name


@dataclass(frozen=True)
class Slit:
    """A ``_cal.fits`` and what comes of it, there or to come.

    Attributes
    ----------
    name : ExposureName
    cal, bkgsub : Path
    group : str
        Background group.
    grating, filter : str
    """

    name: ExposureName
    cal: Path
    bkgsub: Path
    group: str
    grating: str
    filter: str


@dataclass(frozen=True)
class Group:
    """The nods of a source in one background group.

    Attributes
    ----------
    name : str
        Label of the group.
    grating : str
    science : tuple of Slit
        The nods that the sky is subtracted from.
    others : tuple of Slit
        Those that serve as background only.
    dropped : tuple of Slit
        Those that people left out, as science at least.
    allowed : dict of str to list of str
        Exposures that may be background of an exposure, where not all others may.
    """

    name: str
    grating: str
    science: tuple[Slit, ...]
    others: tuple[Slit, ...]
    dropped: tuple[Slit, ...]
    allowed: Mapping[str, list[str]]

    @property
    def members(self) -> tuple[Slit, ...]:
        """All that take part."""
        return (*self.science, *self.others)


class Labels:
    """Names of the background groups of exposures: nods with the same label are subtracted from each other.

    Parameters
    ----------
    config_groups : tuple of tuple of str
        Activities whose nods may pair.
    exposures : iterable of Exposure
        All of the observation. Activities with several configurations of the MSA have groups for each.
    """

    def __init__(self, config_groups: tuple[tuple[str, ...], ...], exposures: Iterable[Exposure]) -> None:
        self._groups = config_groups
        self._configurations: dict[str, set[int]] = defaultdict(set)
        for exposure in exposures:
            self._configurations[exposure.name.root].add(exposure.header.metadata_id)

    def of(self, exposure: Exposure) -> str:
        """Label of an exposure."""
        return self.named(exposure.name, exposure.header.sub_dither, self.configuration(exposure))

    def configuration(self, exposure: Exposure) -> int:
        """The exposure's configuration of the MSA, if its activity has several; else 0."""
        several = len(self._configurations[exposure.name.root]) > 1
        return exposure.header.metadata_id if several else 0

    def shutters(self, exposure: Exposure) -> str:
        """Name of what is looked at together for stuck shutters: visit and activity, and configuration if several."""
        configuration = self.configuration(exposure)
        return exposure.name.root + (f"_msa{configuration}" if configuration else "")

    def named(self, name: ExposureName, sub_dither: int = 1, configuration: int = 0) -> str:
        """Label of an exposure of which this is known."""
        visit, activity = name.root.split("_")
        together = next(("+".join(group) for group in self._groups if activity in group), "")
        dither = f"_dither{sub_dither}" if sub_dither > 1 else ""
        msa = f"_msa{configuration}" if configuration and not together else ""
        return f"{visit}_{together or activity}{dither}{msa} {name.detector}"


def make_groups(source: int, slits: Iterable[Slit], lists: NodLists) -> list[Group]:
    """Background groups of a source.

    Parameters
    ----------
    source : int
        Source number.
    slits : iterable of Slit
        All its cutouts.
    lists : dict
        What people say of nods.
    """
    found: dict[tuple[str, str], list[Slit]] = defaultdict(list)
    for slit in slits:
        found[slit.group, slit.grating].append(slit)
    return [_group(name, grating, source, tuple(found[name, grating]), lists) for name, grating in sorted(found)]


def _group(name: str, grating: str, source: int, slits: tuple[Slit, ...], lists: NodLists) -> Group:
    said = NodList()
    for root in sorted({slit.name.root for slit in slits}):
        said = said.over(list_of(lists, root, source))
    nods = {slit: nod_name(slit.name) for slit in slits}
    part = [slit for slit in slits if nods[slit] not in said.left_out]
    science = tuple(s for s in part if said.backgrounds.get(nods[s]) != ())
    others = tuple(s for s in part if s not in science)
    allowed = {
        str(s.name): [str(o.name) for o in part if nods[o] in said.backgrounds[nods[s]]]
        for s in science
        if nods[s] in said.backgrounds
    }
    dropped = tuple(s for s in slits if s not in science)
    return Group(name, grating, science, others, dropped, allowed)
