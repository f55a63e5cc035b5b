"""`templates build`."""

from __future__ import annotations

from pathlib import Path

from nirfire.commands.output import say
from nirfire.products.atomic import atomic_path
from nirfire.products.template_build import build as compute
from nirfire.products.template_store import read_continua


def build(name: str, out: Path | None) -> int:
    """Compute the continua of a template set with bagpipes and write them.

    Parameters
    ----------
    name : str
        "default" or "published".
    out : Path, optional
        The file; by default templates_NAME.npz here.

    Returns
    -------
    int
        Exit code.
    """
    raw = compute(name, say)
    made = read_continua(raw, name)
    target = out or Path(f"templates_{name}.npz")
    with atomic_path(target) as part:
        part.write_bytes(raw)
    n_bins, n_templates, _ = made.flux.shape
    say(f"{target}: {n_templates} templates in {n_bins} bins of redshift, {len(raw) / 1e6:.2f} MB")
    return 0
