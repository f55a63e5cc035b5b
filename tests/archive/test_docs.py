"""The commands of docs/download.md, run against the stand-in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "download.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)


def run(command: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_page(archive, tmp_path):
    shell = [text for kind, text in BLOCKS if kind == "sh"]
    python = [text for kind, text in BLOCKS if kind == "python"]
    assert len(shell) == 3 and len(python) == 2
    run([sys.executable, "-c", "".join(reversed(python))], tmp_path)  # the download before the look into its manifest
    assert len(list((tmp_path / "raw").glob("*_uncal.fits"))) == 4
    run(["bash", "-e", "-c", "".join(shell)], tmp_path)
    assert len(list((tmp_path / "raw").glob("*_uncal.fits"))) == 6
