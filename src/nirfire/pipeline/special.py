"""What people say of an observation, beside the settings of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nirfire.products.nod_lists import NodLists
from nirfire.products.positions import Positions
from nirfire.tasks.settings import Background, Method, SourceShape
from nirfire.tasks.stuck import StuckList


@dataclass(frozen=True)
class Special:
    """What people say of an observation, beside its settings.

    Attributes
    ----------
    stuck : dict
        Stuck-closed shutters: root -> source -> ordinals.
    masks : mapping
        DS9 regions by exposure; their pixels are not used.
    config_groups : tuple of tuple of str
        Activities whose nods may pair.
    positions : dict
        Measured places of sources: exposure without detector -> source -> (x, y).
    source_types : mapping of int to str
        How single sources are calibrated.
    tables : tuple of Path
        Further files that the calibration of every source reads.
    nods : dict
        Which nods may be background of which.
    background : {"nods", "global", "best"}
        Where the sky of most sources comes from.
    backgrounds : mapping of int to str
        The same for single sources.
    method : {"model", "horne"}
        How spectra are extracted.
    shapes : mapping of int to SourceShape
        What is known of place and size of single sources.
    photometry : Path or None
        Table of photometry that spectra are compared with.
    """

    stuck: StuckList = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    config_groups: tuple[tuple[str, ...], ...] = ()
    positions: Positions = field(default_factory=dict)
    source_types: Mapping[int, str] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()
    nods: NodLists = field(default_factory=dict)
    background: Background = "nods"
    backgrounds: Mapping[int, Background] = field(default_factory=dict)
    method: Method = "model"
    shapes: Mapping[int, SourceShape] = field(default_factory=dict)
    photometry: Path | None = None
