"""Stage 2b on known truth: stuck shutters, sky from other nods and from blank shutters, spikes; and real cutouts.

    python benchmarks/nods.py [--json FILE] [--only pulls|causes|spikes|bias|shutters|sky|cost|real] [--keep FOLDER]

One PRISM observation with five nods (NRS1, ten groups, all noise, cosmic rays) of eleven slitlets that see sky only and
three with sources goes through detector, clean and calibrate; groups of 2 to 5 nods are its first exposures.

pulls: pixels of blank sky that are not flagged, and means of 20 of them along a row (weighted by inverse variance),
over their errors, for the truth is zero: standard deviation and 1.4826 MAD. causes (only when asked for): the same with
parts of the noise. spikes: 50 sigma put into one nod. bias: stacked spectra of the blank slitlets. shutters, sky: see
the modules beside this one. real: cutouts of two objects. The observation takes some four minutes of two processes.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from _nods_bias import bias, cost
from _nods_observe import Sight, observe
from _nods_pulls import causes, pulls
from _nods_real import real
from _nods_spikes import spikes
from _rows import parser, save
from nirfire.pipeline.environment import embedded_environment, thread_environment

ON_SIMULATION: dict[str, Callable[[Sight], list[dict]]] = {"pulls": pulls, "spikes": spikes, "bias": bias, "cost": cost}
ELSEWHERE = {"shutters": "_nods_shutters:shutters", "sky": "_nods_sky:global_sky"}
PARTS = (*ON_SIMULATION, *ELSEWHERE, "real")


def part(name: str, folder: Path, data: Path) -> list[dict]:
    """Rows of one part."""
    if name in ON_SIMULATION:
        return ON_SIMULATION[name](observe(Sight(folder / "all")))
    if name in ELSEWHERE:
        module, function = ELSEWHERE[name].split(":")
        made: list[dict] = getattr(importlib.import_module(module), function)()
        return made
    return causes(folder) if name == "causes" else real(data)


def main() -> None:
    """Measure."""
    options = parser(__doc__)
    options.add_argument("--only", choices=(*PARTS, "causes"))
    options.add_argument("--keep", type=Path, help="keep the simulated observation here, and use it again")
    given = options.parse_args()
    os.environ.update(embedded_environment(print) | thread_environment())
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="nirfire-nods-") as scratch:
        folder = given.keep or Path(scratch)
        rows = [row for name in ([given.only] if given.only else PARTS) for row in part(name, folder, given.data)]
    save(rows, given.json)


if __name__ == "__main__":
    main()
