"""Calibrate the probability of redshifts on mock spectra, and test it on others.

    python scripts/calibrate_zprob.py --trials FOLDER [--n 3000] [--family PRISM M H] [--write] [--figure PNG]

For each family of gratings: `n` spectra of two populations are fitted, the logistic of core.zprob is fitted to which
redshifts are right, and half as many spectra of a third population, drawn with other seeds, tell how good it is.
FOLDER keeps the fits (a run goes on where it was stopped); --write replaces src/nirfire/core/zprob_values.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from nirfire.core.zprob import Calibration, Features, calibrated
from nirfire.core.zprob_fit import calibrate
from nirfire.core.zscan import fit_redshifts
from nirfire.products.template_store import load_templates
from nirfire.qa.reliability import reliability_figure
from nirfire.simulate.mock_sources import FIRST, SECOND, THIRD, Population
from nirfire.simulate.mock_trials import Trials, completeness, false_sure, reliability, run

FAMILIES = {
    "PRISM": (("PRISM", 1.0),),
    "M": (("G395M", 0.5), ("G235M", 0.3), ("G140M", 0.2)),
    "H": (("G395H", 0.5), ("G235H", 0.3), ("G140H", 0.2)),
}
DRAWS = {"train": ((FIRST, 100_000, 0.67), (SECOND, 300_000, 0.33)), "test": ((THIRD, 900_000, 1.0),)}
"""Population, first seed, share of the spectra."""
PART = 64
VALUES = Path(__file__).resolve().parents[1] / "src" / "nirfire" / "core" / "zprob_values.py"
HEADER = '''"""Calibrations of :mod:`nirfire.core.zprob`, written by ``scripts/calibrate_zprob.py``: not to be edited.

Each: bias; weights of least, beyond, star, lines, negative, rough, misfit; scores and logits of the knots.
"""

from __future__ import annotations

CALIBRATIONS: dict[str, tuple[float, tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
'''


def part(folder: Path, grating: str, seed: int, population: Population) -> Trials:
    """Fits of `PART` spectra, kept in a file."""
    path = folder / f"{grating}_{seed}.npz"
    if not path.is_file():
        templates = load_templates()
        trials = run(
            lambda wave, flux, ivar: fit_redshifts(wave, flux, ivar, grating=grating, templates=templates),
            grating,
            PART,
            seed,
            population,
        )
        np.savez(path, **trials._asdict())
    with np.load(path) as stored:
        return Trials(**{name: stored[name] for name in Trials._fields})


def gathered(folder: Path, family: str, which: str, n: int) -> Trials:
    """Fits of about `n` spectra of a family."""
    parts = []
    for population, seed, weight in DRAWS[which]:
        for grating, share in FAMILIES[family]:
            for k in range(int(np.ceil(n * share * weight / PART))):
                parts.append(part(folder, grating, seed + k, population))
                print(f"{family} {which} {grating} {k}", flush=True)
    return Trials(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def told(trials: Trials, calibration: Calibration) -> Trials:
    """The trials with the probability of a calibration."""
    values = [calibrated(Features(*row), calibration) for row in trials.features]
    return trials._replace(probability=np.where(trials.fitted, values, np.nan))


def report(name: str, trials: Trials) -> None:
    """Print what was reached."""
    complete, pure = completeness(trials)
    fitted = trials.fitted
    probability, right = trials.probability[fitted], trials.right[fitted]
    wrong = probability[~right]
    print(f"{name}: {fitted.sum()} spectra, {right.mean():.3f} right, mean ZPROB {probability.mean():.3f}")
    print(f"  two lines ({trials.with_lines.sum()}): complete {complete:.4f}, pure {pure:.4f} above 0.9")
    print(f"  blank above 0.9: {false_sure(trials):.4f}; featureless {false_sure(trials, 'featureless'):.4f}")
    print(f"  wrong: mean ZPROB {wrong.mean():.3f}, above 0.9 {np.mean(wrong > 0.9):.4f}")
    for mean, share, count in zip(*reliability(probability, right), strict=True):
        print(f"  ZPROB {mean:.3f}: right {share:.3f} +- {np.sqrt(mean * (1 - mean) / count):.3f} of {count}")


def spelled(calibrations: dict[str, Calibration]) -> str:
    """The module of values."""

    def row(values: tuple[float, ...]) -> str:
        return "(" + ", ".join(f"{v:.5g}" for v in values) + ")"

    lines = [HEADER.rstrip("\n")]
    for name, one in calibrations.items():
        lines += [f'    "{name}": (', f"        {one.bias:.5g},", f"        {row(one.weights)},"]
        lines += [f"        {row(one.score)},", f"        {row(one.logit)},", "    ),"]
    return "\n".join([*lines, "}", ""])


def main() -> None:
    """Fit, test, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=Path, required=True)
    options.add_argument("--n", type=int, default=3000)
    options.add_argument("--family", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    options.add_argument("--write", action="store_true")
    options.add_argument("--figure", type=Path)
    args = options.parse_args()
    args.trials.mkdir(parents=True, exist_ok=True)
    from nirfire.core.zprob_values import CALIBRATIONS

    calibrations = {name: Calibration(*values) for name, values in CALIBRATIONS.items()}
    tests = {}
    for family in args.family:
        n = args.n if family != "H" else args.n // 4
        train = gathered(args.trials, family, "train", n)
        calibrations[family] = calibrate(train.features[train.fitted], train.right[train.fitted])
        print(family, dict(zip(Features._fields, np.round(calibrations[family].weights, 3), strict=True)))
        report(f"{family} seen", told(train, calibrations[family]))
        tests[family] = told(gathered(args.trials, family, "test", n // 2), calibrations[family])
        report(f"{family} unseen", tests[family])
    if args.write:
        VALUES.write_text(spelled(calibrations))
    if args.figure:
        reliability_figure(tests, args.figure)


if __name__ == "__main__":
    main()
