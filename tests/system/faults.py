"""Running the command while something goes wrong: kills at random moments, and disks that cannot be written."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from astropy.io import fits

from nirfire.products.atomic import write_text
from nirfire.products.naming import CAL, PART, ExposureName, Workspace

from .same import differences, products, sums_hold

NIRFIRE = (sys.executable, "-m", "nirfire")
POLL_SECONDS = 0.02
QUICK_POLL_SECONDS = 0.002  # for what is gone at once; it takes a core of its own
SCRATCH = "scratch"
PATIENCE = 900.0  # for a whole small run, on a machine that has other things to do
START_UP, ANY, WRITING = "start-up", "any", "writing"
SHARES = {START_UP: 1, ANY: 2, WRITING: 2}
START_UP_SECONDS = 3.0
WRITING_SECONDS = 0.05
MOST_SKIPPED = 6  # each product has two temporary names: while it is written, and while it is stamped


@dataclass(frozen=True)
class Moment:
    """When a run is killed, and how.

    Attributes
    ----------
    kind : str
        ``start-up``: in the first seconds. ``any``: at any time. ``writing``: when an unfinished product is seen.
    seconds : float
        After the start, or after the unfinished product was seen.
    skip : int
        Unfinished products that are let pass.
    whole : bool
        The whole process group is killed, else only the parent.
    """

    kind: str
    seconds: float
    skip: int = 0
    whole: bool = True


def moments(seed: int, number: int, longest: float) -> Iterator[Moment]:
    """Random moments, the same for the same seed; none later than `longest` seconds after the start."""
    dice = random.Random(seed)
    for _ in range(number):
        kind = dice.choices(list(SHARES), list(SHARES.values()))[0]
        reach = {START_UP: min(START_UP_SECONDS, longest), ANY: longest, WRITING: WRITING_SECONDS}[kind]
        yield Moment(kind, dice.uniform(0, reach), dice.randrange(MOST_SKIPPED), dice.random() < 0.5)


@dataclass
class Running:
    """A command in a session of its own, with what it says in a file."""

    process: subprocess.Popen[bytes]
    said_in: Path

    @property
    def said(self) -> str:
        return " ".join(self.said_in.read_text(errors="replace").split())

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> int:
        """Exit code."""
        return self.process.wait(PATIENCE)

    def family(self) -> list[psutil.Process]:
        """Its living processes."""
        return [p for p in psutil.process_iter(["status"]) if self._is_mine(p)]

    def _is_mine(self, other: psutil.Process) -> bool:
        try:
            return os.getsid(other.pid) == self.process.pid and other.info["status"] != psutil.STATUS_ZOMBIE
        except ProcessLookupError:
            return False

    def workers(self) -> list[psutil.Process]:
        return [p for p in self.family() if "spawn_main" in " ".join(p.cmdline())]

    def send(self, number: int, *, whole: bool) -> None:
        """Send a signal to the process group, or to the parent alone."""
        (os.killpg if whole else os.kill)(self.process.pid, number)

    def kill(self, *, whole: bool) -> None:
        """kill -9; nobody is left after it."""
        self.send(signal.SIGKILL, whole=whole)
        self.process.wait()
        assert self.all_gone(), f"orphans: {self.family()}"

    def all_gone(self, patience: float = 5.0) -> bool:
        return wait_until(lambda: not self.family(), patience)


def launch(*arguments: object, cwd: Path, within: Iterable[str] = ()) -> Running:
    """Start ``nirfire`` in a session and with a temporary folder of its own, so that all it leaves can be found."""
    scratch = cwd / SCRATCH
    scratch.mkdir(exist_ok=True)
    env = {**os.environ, "TMPDIR": str(scratch)}
    said = cwd / f"said-{time.monotonic_ns()}.txt"
    command = [*within, *NIRFIRE, *map(str, arguments)]
    with said.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    return Running(process, said)


def run(*arguments: object, cwd: Path, **more: object) -> tuple[int, str]:
    """Run ``nirfire`` to its end: exit code, and what it said in one line."""
    running = launch(*arguments, cwd=cwd, **more)
    return running.wait(), running.said


def wait_until(condition: Callable[[], object], patience: float = PATIENCE, poll: float = POLL_SECONDS) -> bool:
    """Wait for a condition; False when it does not come."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def reached(moment: Moment, running: Running, place: Workspace) -> bool:
    """Wait for a moment; False when the run ended before."""
    if moment.kind == WRITING:
        before, seen = unfinished(place), set[str]()
        wait_until(
            lambda: running.ended or seen.update(unfinished(place) - before) or len(seen) > moment.skip,
            poll=QUICK_POLL_SECONDS,
        )
    deadline = time.monotonic() + moment.seconds
    wait_until(lambda: running.ended or time.monotonic() > deadline, poll=QUICK_POLL_SECONDS)
    return not running.ended


def unfinished(place: Workspace) -> set[str]:
    """Files with a temporary name, anywhere in a workspace."""
    found = set()
    for folder in (place.folder, place.exposures, place.sources, place.catalogue, place.report):
        for inner in (folder, *(p for p in _listed(folder) if p.is_dir())):
            found |= {p.name for p in _listed(inner) if p.name.startswith(PART)}
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def events(place: Workspace, skip: Iterable[Path] = ()) -> list[dict[str, object]]:
    """What the event files tell, without the last line where it was cut off."""
    found = []
    for path in sorted(set(place.events.glob("*.jsonl")) - set(skip)):
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return found


def under_way(told: Iterable[dict[str, object]]) -> set[tuple[object, object]]:
    """(stage, key) of the jobs that were started and have not ended."""
    jobs: set[tuple[object, object]] = set()
    for event in told:
        if event["event"] == "start":
            jobs.add((event["task"], event["key"]))
        elif event["event"] in ("end", "lost"):
            jobs.discard((event["task"], event["key"]))
    return jobs


def where_it_was(told: list[dict[str, object]]) -> list[str]:
    """In which stages a run was when it was killed."""
    kinds = [event["event"] for event in told]
    if jobs := under_way(told):
        return sorted({str(stage) for stage, _ in jobs})
    if "finish" in kinds:
        return ["report"]
    if "end" in kinds:
        return ["between jobs or in the summary"]
    return ["start-up"]


def check_sound(
    place: Workspace, about: tuple[object, ...], stages: tuple[object, ...], *, cwd: Path, jobs: int, like: Workspace
) -> None:
    """A finished workspace: nothing left to do, nothing left over, the ledger whole, the products as they should be.

    Parameters
    ----------
    place : Workspace
        Where the products are.
    about : tuple
        What the commands are told to find it.
    stages : tuple
        Which stages were run.
    cwd : Path
        Where the commands are started.
    jobs : int
        How many jobs that makes.
    like : Workspace
        What was made undisturbed.
    """
    code, said = run("run", *about, *stages, "--dry-run", cwd=cwd)
    assert code == 0, said
    assert f"0 of {jobs} jobs would run" in said
    code, said = run("status", *about, cwd=cwd)
    assert code == 0, said
    assert not any(word in said for word in ("failed:", "blocked:", "stale:", "unusable", "in part:")), said
    left = [*place.folder.rglob(f"{PART}*"), *place.folder.glob("*-journal"), *(cwd / SCRATCH).iterdir()]
    assert not left, left
    db = sqlite3.connect(place.ledger)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    made = [path for path in products(place).values() if path.suffix == ".fits" and not path.is_symlink()]
    wrong = [f"{path}: checksums" for path in made if not sums_hold(path)] + differences(like, place)
    assert not wrong, "\n".join(wrong)


def copies_under_other_numbers(cals: Iterable[Path], numbers: Iterable[int], folder: Path) -> None:
    """Write cutouts of one source as if they were those of others."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        for cal in cals:
            target = folder / f"{ExposureName.from_path(cal)}_{number}{CAL}"
            with fits.open(cal, memmap=False) as hdus:
                for hdu in hdus:
                    if "SOURCEID" in hdu.header:
                        hdu.header["SOURCEID"] = number
                hdus.writeto(target, checksum=True)


def copy(paths: Iterable[Path], folder: Path) -> Path:
    """Copy files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)
    return folder


def write_much(path: Path) -> None:
    """A task that writes 3 MB."""
    write_text(path, "x" * 3_000_000)


@dataclass(frozen=True)
class SmallDisk:
    """A file system of a few MB, that only the commands started `within` see under its own name."""

    keeper: int
    folder: Path

    @property
    def within(self) -> tuple[str, ...]:
        """Begins a command that sees it."""
        return ("nsenter", "-t", str(self.keeper), "-m", f"--wd={self.folder.parent}", "--")

    @property
    def outside(self) -> Path:
        """The same folder, as everybody sees it."""
        return Path(f"/proc/{self.keeper}/root{self.folder}")

    def remount(self, options: str) -> None:
        """Change it, for example ``ro`` or ``size=100m``."""
        subprocess.run([*self.within, "mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def fill(self, leave: int) -> None:
        """Take all room but `leave` bytes."""
        self.make_room()
        free = shutil.disk_usage(self.outside).free
        with (self.outside / "ballast").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, free - leave))

    def make_room(self) -> None:
        """Give the room back."""
        (self.outside / "ballast").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a small file system in a mount namespace of its own; skips where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    tools = [name for name in ("unshare", "nsenter", "mount") if shutil.which(name) is None]
    if tools or os.geteuid() != 0:
        pytest.skip(f"no small disk: {f'no {tools[0]}' if tools else 'mounting needs root'}")
    script = f"mount -t tmpfs -o size={size} tmpfs '{folder}' && echo ready && exec sleep 7200"
    keeper = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if keeper.stdout.readline() != b"ready\n":
            pytest.skip(f"no small disk: {keeper.stderr.read().decode().strip()}")
        yield SmallDisk(keeper.pid, folder)
    finally:
        keeper.kill()
        keeper.communicate()
