"""What all benchmarks share: a table on the screen, and one JSON row per goal."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def entry(name: str, value: float, unit: str = "", goal: str | float | None = None, ok: bool = True) -> dict:
    """One row; printed at once."""
    aim = "" if goal is None else f"   goal {goal}   {'ok' if ok else 'MISSED'}"
    print(f"{name:60s} {value:10.4g} {unit:6s}{aim}", flush=True)
    return {"name": name, "value": float(value), "unit": unit, "goal": goal, "ok": bool(ok)}


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Options every benchmark has: --json, and --data for the folder of real data."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, help="write the rows to this file")
    default = Path(os.environ.get("NIRFIRE_TEST_DATA", beside))
    made.add_argument("--data", type=Path, default=default, help="folder of real data; parts that need it are left out")
    return made


def save(rows: list[dict], path: Path | None) -> None:
    """Write the rows as JSON."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1))
