"""Which reference types the installed ``jwst`` may ask for. Run as a module, it writes them as JSON.

Finding out imports every step and, with them, ``crds``, which must not happen before the environment of a cache is
set. So `all_types` belongs in a process of its own; `start_listing` starts one.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

from nirfire.errors import DataError


def all_types() -> list[str]:
    """Reference types of all steps, and the ``pars-`` type of every step and pipeline, sorted.

    Returns
    -------
    list of str
    """
    from jwst.stpipe.integration import get_steps

    types: set[str] = set()
    for full_name, _, _ in get_steps():
        module, name = full_name.rsplit(".", 1)
        step = getattr(importlib.import_module(module), name)
        types.add(f"pars-{name.lower()}")
        wanted = getattr(step, "reference_file_types", None)
        types.update(wanted if isinstance(wanted, list | tuple) else ())
    return sorted(types)


def start_listing() -> subprocess.Popen[str]:
    """Start a process that lists the types; read it with `finish_listing`."""
    command = [sys.executable, "-m", "nirfire.stsci.step_types"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish_listing(process: subprocess.Popen[str]) -> list[str]:
    """Types found by a process of `start_listing`.

    Raises
    ------
    DataError
        The stock pipeline could not be imported.
    """
    out, err = process.communicate()
    if process.returncode != 0:
        reason = (err.strip().splitlines() or ["no message"])[-1]
        raise DataError(
            f"cannot list the steps of the stock pipeline: {reason}",
            remedy="check the installation: python -c 'import jwst.step'",
        )
    return list(json.loads(out.splitlines()[-1]))


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(all_types()) + "\n")
