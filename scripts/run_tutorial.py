"""Execute docs/tutorial.ipynb anew, on the workspace of a finished demo, and write its outputs into it.

    nirfire demo -w nirfire-demo
    python scripts/run_tutorial.py nirfire-demo

The notebook finds the workspace as ``nirfire-demo``, whatever its name is. With ``--check`` nothing is written.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tutorial.ipynb"
WORKSPACE = "nirfire-demo"
SECONDS = 300
# small figures; the backend of notebooks draws them into the outputs
SETUP = "%config InlineBackend.rc = {'figure.dpi': 72, 'savefig.dpi': 72}\n%matplotlib inline"


def execute(workspace: Path, notebook: Path = NOTEBOOK) -> nbformat.NotebookNode:
    """Run all cells; an error in one of them is raised."""
    content = nbformat.read(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / WORKSPACE).symlink_to(workspace.resolve(), target_is_directory=True)
        content.cells.insert(0, nbformat.v4.new_code_cell(SETUP))
        client = NotebookClient(
            content, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        client.execute()
    del content.cells[0]
    for number, cell in enumerate((c for c in content.cells if c.cell_type == "code"), 1):
        cell.execution_count = number
        cell.metadata.pop("execution", None)  # times of day
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = number
    content.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return content


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, help="of a finished demo")
    parser.add_argument("--check", action="store_true", help="only run it")
    options = parser.parse_args()
    content = execute(options.workspace)
    if not options.check:
        nbformat.write(content, NOTEBOOK)


if __name__ == "__main__":
    main()
