"""The settings that blocks of the pages run in; each is a fixture that makes a `Sandbox` for a `Case`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import link_tree

from .blocks import Case, Sandbox

ROOT = Path(__file__).resolve().parents[2]
READER = ("TERM", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
EXPOSURES, FINISHED, DEMO = "demo", "demo-nirfire", "nirfire-demo"
QUICK_MINUTES, SLOW_MINUTES = 15, 40  # the first is there for blocks that hang, on any machine

MakeSandbox = Callable[[Case], Sandbox]


@pytest.fixture
def make_sandbox(tmp_path: Path) -> MakeSandbox:
    """Make an empty sandbox with the terminal of a reader who has installed nirfire and set nothing else."""

    def make(case: Case) -> Sandbox:
        folder, home = tmp_path / "here", tmp_path / "home"
        folder.mkdir()
        home.mkdir()
        minutes = SLOW_MINUTES if case.fresh else QUICK_MINUTES
        return Sandbox(folder, _terminal(home), minutes)

    return make


def _terminal(home: Path) -> dict[str, str]:
    """Environment variables: of the tests' own, what a terminal and pip need, and nirfire's cache of references."""
    kept = {k: v for k, v in os.environ.items() if k in READER or k.startswith("PIP_")}
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    careful = {"PIP_DRY_RUN": "1"}  # a page must not change the environment that the tests run in
    plain = {"LANG": "C.UTF-8", "COLUMNS": "120"}
    return {**kept, **careful, **plain, "PATH": path, "HOME": str(home), "XDG_CACHE_HOME": cache}


@pytest.fixture
def env(make_sandbox: MakeSandbox) -> MakeSandbox:
    """An empty folder."""
    return make_sandbox


@pytest.fixture
def clone(make_sandbox: MakeSandbox) -> MakeSandbox:
    """A fresh copy of the source tree, and a reader who has not installed anything."""

    def make(case: Case) -> Sandbox:
        sandbox = make_sandbox(case)
        _copy_tree(sandbox.folder)
        own = str(Path(sys.executable).parent)
        path = [p for p in sandbox.environment["PATH"].split(os.pathsep) if p != own]
        environment = {**sandbox.environment, "PATH": os.pathsep.join(path)}
        del environment["PIP_DRY_RUN"]
        return Sandbox(sandbox.folder, environment, sandbox.minutes)

    return make


def _copy_tree(target: Path) -> None:
    """Copy the files that git knows or would add."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@pytest.fixture
def observation(make_sandbox: MakeSandbox, small_demo: object) -> MakeSandbox:
    """Simulated exposures in `demo`; for quick tests also what slow blocks leave: the products and the demo's own."""
    place = small_demo.place  # type: ignore[attr-defined]

    def make(case: Case) -> Sandbox:
        sandbox = make_sandbox(case)
        link_tree(place.folder / "raw", sandbox.folder / EXPOSURES)
        if not case.fresh:
            link_tree(place.folder, sandbox.folder / DEMO)
            link_tree(place.folder, sandbox.folder / FINISHED, without="raw")
        return sandbox

    return make


@pytest.fixture
def archive(make_sandbox: MakeSandbox) -> Iterator[MakeSandbox]:
    """An empty folder, and a stand-in for the archive that has program 1345."""
    from tests.archive.standin import make_files, serving

    with serving(make_files()) as standin:

        def make(case: Case) -> Sandbox:
            sandbox = make_sandbox(case)
            address = {"NIRFIRE_MAST_URL": standin.url, "NO_PROXY": "127.0.0.1,localhost"}
            return Sandbox(sandbox.folder, {**sandbox.environment, **address}, sandbox.minutes)

        yield make


@pytest.fixture
def cluster(observation: MakeSandbox) -> Iterator[MakeSandbox]:
    """The login node of a SLURM of one node, with the simulated exposures in `demo`."""
    from tests.system.slurm_node import NoSlurm, slurm_node

    with ExitStack() as stack:
        try:
            node = stack.enter_context(slurm_node())
        except NoSlurm as error:
            pytest.skip(str(error))

        def make(case: Case) -> Sandbox:
            sandbox = observation(case)
            own = str(Path(sys.executable).parent)
            path = os.pathsep.join([own, node.environment["PATH"]])
            environment = {**sandbox.environment, **node.environment, "PATH": path}
            return Sandbox(sandbox.folder, environment, sandbox.minutes)

        yield make


@pytest.fixture
def realdata(make_sandbox: MakeSandbox, real_data: Path) -> MakeSandbox:
    """The cutouts of a real source in `ceers_933`, with the published spectrum."""

    def make(case: Case) -> Sandbox:
        sandbox = make_sandbox(case)
        folder = sandbox.folder / "ceers_933"
        folder.mkdir()
        for path in (real_data / "nods" / "ceers_933").glob("*.fits"):
            name = "published.spec.fits" if path.name.endswith(".spec.fits") else path.name
            (folder / name).symlink_to(path)
        return sandbox

    return make
