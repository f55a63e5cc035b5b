"""Success of the redshift fit on mock spectra, by kind, by S/N and by the number of lines; and what its ZPROB is worth.

    python benchmarks/_redshift_mocks.py [GRATING] [--n 300] [--seed 1] [--population first|second|third]
        [--templates NAME] [--option NAME=VALUE ...] [--failures]

Scores any variant of the fit: --option sets a field of core.zscan.ScanOptions (polynomial=0, error_floor=0.05 ...).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np

from _rows import entry
from nirfire.core.zscan import ScanOptions, fit_redshifts
from nirfire.products.template_store import load_templates
from nirfire.simulate.mock_sources import FIRST, SECOND, THIRD, Population
from nirfire.simulate.mock_trials import Trials, completeness, false_sure, reliability, run

GOALS = {"complete": 0.95, "pure": 0.99, "blank": 0.01, "wrong": 0.5, "reliable": 0.05}
SNR_BINS = ((0, 1), (1, 3), (3, 10), (10, np.inf))
POPULATIONS = {"first": FIRST, "second": SECOND, "third": THIRD}


def trial(
    grating: str,
    n: int,
    seed: int,
    *,
    population: Population = THIRD,
    templates: str = "default",
    options: ScanOptions | None = None,
) -> Trials:
    """Draw and fit `n` mock spectra."""
    chosen = load_templates(templates)
    return run(
        lambda wave, flux, ivar: fit_redshifts(wave, flux, ivar, grating=grating, templates=chosen, options=options),
        grating,
        n,
        seed,
        population,
    )


def success(label: str, trials: Trials) -> list[dict]:
    """Share of right redshifts among the sources that have one."""
    real = np.isfinite(trials.z) & (trials.kind != "dwarf")
    right = trials.right
    rows = [entry(f"{label}: right (N={real.sum()})", right[real].mean())]
    for name, chosen in _groups(trials, real):
        if chosen.any():
            rows.append(entry(f"{label}: {name} (N={chosen.sum()})", right[chosen].mean()))
    return rows


def _groups(trials: Trials, real: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for low, high in SNR_BINS:
        yield f"S/N {low} to {high}", real & (trials.snr >= low) & (trials.snr < high)
    for count in (0, 1, 2):
        yield f"{count} lines above 5", real & (trials.n_lines == count)
    yield "more lines above 5", real & (trials.n_lines > 2)
    for kind in sorted(set(trials.kind[real])):
        yield str(kind), trials.kind == kind


def confidence(label: str, trials: Trials) -> list[dict]:
    """What ZPROB is worth, against the goals."""
    complete, pure = completeness(trials)
    blank, fitted = false_sure(trials), trials.fitted
    probability, right = trials.probability[fitted], trials.right[fitted]
    wrong = float(probability[~right].mean())
    bins = reliability(probability, right)
    error = np.sqrt(bins.mean * (1 - bins.mean) / bins.number)
    excess = float(np.max(np.abs(bins.mean - bins.share) - error))
    return [
        entry(f"{label}: two lines, right and ZPROB > 0.9", complete, "", GOALS["complete"], complete >= 0.95),
        entry(f"{label}: two lines, ZPROB > 0.9 that are right", pure, "", GOALS["pure"], pure >= 0.99),
        entry(f"{label}: blanks with ZPROB > 0.9", blank, "", GOALS["blank"], blank < 0.01),
        entry(f"{label}: featureless with ZPROB > 0.9", false_sure(trials, "featureless")),
        entry(f"{label}: dwarfs with ZPROB > 0.9", false_sure(trials, "dwarf")),
        entry(f"{label}: mean ZPROB of wrong fits", wrong, "", GOALS["wrong"], wrong < 0.5),
        entry(f"{label}: worst bin of reliability, less its error", excess, "", GOALS["reliable"], excess < 0.05),
    ]


def failures(trials: Trials) -> None:
    """Print the wrong fits of sources with two lines, and the sure ones that are wrong."""
    for i in np.flatnonzero(trials.fitted & ~trials.right & (trials.with_lines | trials.sure)):
        print(
            f"  {i:5d} {trials.kind[i]:15s} z {trials.z[i]:7.3f} found {trials.z_fit[i]:7.3f} S/N {trials.snr[i]:6.2f} "
            f"lines {trials.n_lines[i]:2d} chi2/dof {trials.chi2_dof[i]:5.2f} ZPROB {trials.probability[i]:.3f} "
            f"ZWARN {trials.warning[i]:3d} {np.round(trials.features[i], 1)}"
        )


def main() -> None:
    """Draw, fit, print."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("grating", nargs="?", default="PRISM")
    made.add_argument("--n", type=int, default=300)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--population", choices=list(POPULATIONS), default="third")
    made.add_argument("--templates", default="default")
    made.add_argument("--option", nargs="*", default=[])
    made.add_argument("--failures", action="store_true")
    args = made.parse_args()
    options = ScanOptions(**{key: json.loads(value) for key, value in (one.split("=") for one in args.option)})
    start = time.process_time()
    population = POPULATIONS[args.population]
    trials = trial(args.grating, args.n, args.seed, population=population, templates=args.templates, options=options)
    label = f"{args.grating} mocks"
    entry(f"{label}: time of a draw and a fit", (time.process_time() - start) / args.n, "s CPU")
    success(label, trials)
    confidence(label, trials)
    if args.failures:
        failures(trials)


if __name__ == "__main__":
    main()
