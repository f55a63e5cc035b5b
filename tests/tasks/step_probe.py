"""What `check_steps` says of step parameters, by the installed stock pipelines; run in a process of its own.

Usage: python step_probe.py CASES, with CASES as JSON: a list of [stage, steps]. Prints a list of
[key, message, remedy], or null for parameters that are accepted.
"""

from __future__ import annotations

import json
import sys

from nirfire.errors import DataError
from nirfire.stsci.step_check import check_steps
from nirfire.stsci.stock_steps import PIPELINES


def verdict(stage: str, steps: dict) -> list | None:
    """Check one case."""
    import jwst.pipeline

    try:
        check_steps(getattr(jwst.pipeline, PIPELINES[stage]), stage, steps)
    except DataError as error:
        return [error.key, error.message, error.remedy]
    return None


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps([verdict(*case) for case in json.loads(sys.argv[1])]))
