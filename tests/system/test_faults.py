"""What goes wrong in real life: kills, interrupts, full disks, damaged files. Nothing is lost, nothing is half done.

The quick tests take cutouts of the small demo through the nod subtraction; the slow ones run all stages, with settings
that spare the steps that take longest.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from astropy.io import fits

from nirfire.demo import RAW
from nirfire.pipeline.jobs import BAD, FAILED, Order
from nirfire.pipeline.worker import run as run_order
from nirfire.products.naming import BKGSUB, CAL, RATERAW, SPEC, UNCAL, Workspace

from .faults import (
    SCRATCH,
    Moment,
    SmallDisk,
    check_sound,
    copies_under_other_numbers,
    copy,
    events,
    launch,
    moments,
    reached,
    run,
    small_disk,
    under_way,
    wait_until,
    where_it_was,
    write_much,
)
from .same import differences, of_files

SEED, KILLS, FEW_KILLS = 20260, 50, 5
DOZEN, HANDFUL = range(201, 213), range(201, 205)
BAD_SOURCE, ITS_NEIGHBOURS = 207, range(205, 209)
SPARING = """
[clean]
n_iter = 1
picture_frame = false
[detector.steps]
jump = {skip = true}
linearity = {skip = true}
dark_current = {skip = true}
[extract]
method = "horne"
"""


@dataclass(frozen=True)
class Line:
    """A command, and what it leaves when nothing goes wrong.

    Attributes
    ----------
    target : tuple
        What any command is about.
    stages : tuple
        Which stages are run.
    jobs : int
        How many that are.
    place : Workspace
        What was made undisturbed.
    seconds : float
        How long that took.
    """

    target: tuple[object, ...]
    stages: tuple[object, ...]
    jobs: int
    place: Workspace
    seconds: float

    def command(self, folder: Path | str) -> tuple[object, ...]:
        return ("run", *self.target, *self.stages, "-w", folder, "-j", 2, "--no-report")

    def check(self, place: Workspace) -> None:
        """See that a workspace is as the undisturbed one."""
        about = (*self.target, "-w", place.folder)
        check_sound(place, about, self.stages, cwd=place.folder.parent, jobs=self.jobs, like=self.place)


def undisturbed(target: tuple[object, ...], stages: tuple[object, ...], jobs: int, cwd: Path) -> Line:
    line = Line(target, stages, jobs, Workspace(cwd / "undisturbed", Path(str(target[0])).name), 0.0)
    start = time.monotonic()
    code, said = run(*line.command("undisturbed"), cwd=cwd)
    line = replace(line, seconds=time.monotonic() - start)
    assert code == 0, said
    assert f"{jobs} done" in said
    return line


def cutouts(place: Workspace, numbers: Iterable[int], folder: Path) -> Path:
    """The nods of one source, calibrated, as if they were those of several."""
    source = place.find_sources()[0]
    cals = [place.slit(name, source, CAL) for name in place.find_slits(source, CAL)]
    copies_under_other_numbers(cals, numbers, folder)
    return folder


@pytest.fixture(scope="module")
def handful(small_demo, tmp_path_factory):
    """A few sources to be nod-subtracted."""
    cwd = tmp_path_factory.mktemp("handful")
    given = cutouts(small_demo.place, HANDFUL, cwd / "given")
    return undisturbed((given,), ("--to", "nodsub"), len(HANDFUL) + 1, cwd)


@pytest.fixture(scope="module")
def whole(small_demo, tmp_path_factory):
    """All stages: two sources in two nods, one from its ramps and one from its count rates."""
    place, cwd = small_demo.place, tmp_path_factory.mktemp("whole")
    raw = place.folder / RAW
    first, second, *_ = sorted(raw.glob(f"*{UNCAL}"))
    rateraw = place.exposures / second.name.replace(UNCAL, RATERAW)
    given = copy([first, rateraw, *raw.glob("*_msa.fits")], cwd / "given")
    config = cwd / "sparing.toml"
    config.write_text(SPARING)
    sources = place.find_sources()
    target = (given, "-c", config, "--source", sources[0], "--source", sources[-1])
    jobs = 1 + 2 + 1 + 4 + 2 + 2 + 2 + 2  # detector, clean, shutters, calibrate, nodsub, stack, extract, redshift
    return undisturbed(target, (), jobs, cwd)


def resume_until_done(line: Line, cwd: Path, planned: Iterable[Moment]) -> Counter[str]:
    """Kill at every moment and resume; a run that finishes is checked, and another one begun while moments are left.

    Returns
    -------
    Counter
        How many kills met each stage; a kill may meet two.
    """
    pending, met, number = list(planned)[::-1], Counter(), 0
    while pending:
        number += 1
        place, kills = Workspace(cwd / f"round-{number}", line.place.observation), 0
        while True:
            known = set(place.events.glob("*.jsonl"))
            running = launch(*line.command(place.folder), cwd=cwd)
            if not pending or not reached(pending[-1], running, place):
                assert running.wait() == 0, running.said
                break
            running.kill(whole=pending[-1].whole)
            if running.process.returncode == -signal.SIGKILL:
                kills += 1
                stages = where_it_was(events(place, known))
                met.update(stages)
                logging.info("round %d, %s: in %s", number, pending.pop(), ", ".join(stages))
        if pending and not kills:  # this moment comes after the end
            pending[-1] = replace(pending[-1], seconds=pending[-1].seconds / 2, skip=0)
        line.check(place)
        shutil.rmtree(place.folder)
    return met


@pytest.mark.slow
def test_killed_at_a_few_random_moments(handful, tmp_path):
    resume_until_done(handful, tmp_path, moments(SEED, FEW_KILLS, handful.seconds))


@pytest.mark.slow
def test_killed_at_fifty_random_moments(whole, tmp_path):
    start = time.monotonic()
    met = resume_until_done(whole, tmp_path, moments(SEED, KILLS, whole.seconds / 3))
    logging.info("%d kills in %.0f s: %s", KILLS, time.monotonic() - start, dict(met))
    assert {"start-up", "detector", "clean", "calibrate"} <= set(met)


def begun(line: Line, cwd: Path, stage: str = "") -> tuple[Workspace, object]:
    """A run with a job under way, if need be of one stage."""
    place = Workspace(cwd / "out", line.place.observation)
    running = launch(*line.command(place.folder), cwd=cwd)
    assert wait_until(lambda: running.ended or any(stage in (job, "") for job, _ in under_way(events(place))))
    assert not running.ended, running.said
    return place, running


@pytest.mark.slow  # the quick one, with stand-ins for the stages, is in tests/commands/test_run.py
@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)]
)
def test_interrupted(handful, tmp_path, number, whole_group):
    for _ in range(5):  # on a busy machine the run may be over before it hears the signal
        place, running = begun(handful, tmp_path)
        running.send(number, whole=whole_group)
        if running.wait():
            break
        shutil.rmtree(place.folder)
    assert running.wait() == 130, running.said
    assert running.said.endswith("interrupted; run the same command again to go on")
    assert "Traceback" not in running.said
    assert running.all_gone()
    assert run(*handful.command(place.folder), cwd=tmp_path)[0] == 0
    handful.check(place)


@pytest.mark.slow
def test_interrupted_at_random_moments(handful, tmp_path):
    """Also while Python starts, where the signal itself ends it, and while the workers start."""
    place, dice = Workspace(tmp_path / "out", handful.place.observation), random.Random(SEED)
    for _ in range(20):
        running = launch(*handful.command(place.folder), cwd=tmp_path)
        number, after = dice.choice([signal.SIGINT, signal.SIGTERM]), dice.uniform(0, handful.seconds)
        wait_until(lambda: running.ended, after)  # noqa: B023
        if not running.ended:
            running.send(number, whole=dice.random() < 0.7)
        code = running.wait()
        assert code in (0, 130, -number), running.said
        assert running.all_gone()
        if code == 0:
            handful.check(place)
            shutil.rmtree(place.folder)
        elif code == 130:
            assert "Traceback" not in running.said
    assert run(*handful.command(place.folder), cwd=tmp_path)[0] == 0
    handful.check(place)


@pytest.mark.slow
def test_two_runs_at_once(handful, tmp_path):
    """The second refuses and says who works there; the first never notices."""
    place, first = begun(handful, tmp_path)
    code, said = run(*handful.command(place.folder), cwd=tmp_path)
    assert code == 2
    assert "another run works in this workspace" in said
    assert f'"host": "{socket.gethostname()}", "pid": {first.process.pid}' in said
    assert "remedy" in said
    assert first.wait() == 0, first.said
    handful.check(place)


@pytest.mark.slow
def test_several_runs_started_at_the_same_time(handful, tmp_path):
    place = Workspace(tmp_path / "out", handful.place.observation)
    together = [launch(*handful.command(place.folder), cwd=tmp_path) for _ in range(4)]
    codes = [running.wait() for running in together]
    assert codes.count(0) >= 1
    assert set(codes) <= {0, 2}
    pids = {running.process.pid for running in together}
    for running, code in zip(together, codes, strict=True):
        assert code == 0 or any(f'"pid": {pid}' in running.said for pid in pids), running.said
    handful.check(place)


def kill_worker(running) -> None:
    """Kill a worker at work from outside, as the system does when memory runs out."""
    assert wait_until(lambda: running.ended or running.workers())
    running.workers()[0].kill()


@pytest.mark.slow
def test_worker_killed_from_outside(handful, tmp_path):
    place, running = begun(handful, tmp_path)
    kill_worker(running)
    assert running.wait() == 0, running.said
    lost = [event for event in events(place) if event["event"] == "lost"]
    assert len(lost) == 1
    assert "SIGKILL" in lost[0]["reason"]
    handful.check(place)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["clean", "calibrate"])
def test_worker_killed_in_the_middle_of_a_stock_step(whole, tmp_path, stage):
    place, running = begun(whole, tmp_path, stage)
    time.sleep(2)
    kill_worker(running)
    assert running.wait() == 0, running.said
    assert sum(event["event"] == "lost" for event in events(place)) == 1
    whole.check(place)


@pytest.mark.slow
def test_job_that_kills_its_worker_twice(handful, tmp_path):
    """It fails, and says so; the others go on; later the same command mends it."""
    place = Workspace(tmp_path / "out", handful.place.observation)
    running = launch(*handful.command(place.folder), "-j", 1, cwd=tmp_path)
    for number in (1, 2):
        assert wait_until(lambda: running.workers() and under_way(events(place)))
        kill_worker(running)
        assert wait_until(lambda: sum(event["event"] == "lost" for event in events(place)) == number)  # noqa: B023
    assert running.wait() == 3, running.said
    assert "its worker was killed by SIGKILL" in running.said
    assert "use fewer workers (-j)" in running.said
    assert f"{len(HANDFUL)} done, 1 failed" in running.said
    code, said = run(*handful.command(place.folder), cwd=tmp_path)
    assert code == 0, said
    assert f"1 done, {len(HANDFUL)} skipped" in said
    handful.check(place)


def lacks_an_extension(path: Path) -> None:
    with fits.open(path, mode="update") as hdus:
        del hdus["DQ"]


def lacks_its_place(path: Path) -> None:
    """Nothing foresees that: the task raises a KeyError."""
    with fits.open(path, mode="update") as hdus:
        del hdus["SCI"].header["SLTSTRT1"]


@pytest.mark.parametrize(
    ("how", "words", "numbers"),
    [
        pytest.param(
            lacks_an_extension,
            ("extension DQ is missing", "remedy: redo calibrate"),
            DOZEN,
            marks=pytest.mark.slow,
            id="a dozen",
        ),
        pytest.param(lacks_its_place, ("KeyError", "SLTSTRT1"), ITS_NEIGHBOURS, id="four"),
    ],
)
def test_one_bad_source_among_others(small_demo, tmp_path, how, words, numbers):
    """The others go on, the summary names it and says what to do, and when it is mended only it is done again."""
    given = cutouts(small_demo.place, numbers, tmp_path / "given")
    place, command = Workspace(tmp_path / "out", "given"), ("run", given, "--to", "nodsub", "-w", "out", "--no-report")
    file = sorted(given.glob(f"*_{BAD_SOURCE}{CAL}"))[1]
    good = shutil.copyfile(file, tmp_path / "good.fits")
    how(file)
    code, said = run(*command, cwd=tmp_path)
    assert code == 3
    assert f"nodsub jw09999001001_02101 nrs1 {BAD_SOURCE}" in said
    assert all(word in said for word in words), said
    assert f"nrs1_{BAD_SOURCE}.log" in said
    assert "mend what is said above and run the same command again" in said
    assert [s for s in place.find_sources() if place.find_slits(s, BKGSUB)] == [s for s in numbers if s != BAD_SOURCE]
    code, said = run("status", given, "-w", "out", cwd=tmp_path)
    assert code == 3
    assert f"failed: nodsub jw09999001001_02101 nrs1 {BAD_SOURCE}" in said
    shutil.copyfile(good, file)
    code, said = run(*command, cwd=tmp_path)
    assert code == 0, said
    assert f"1 done, {len(numbers)} skipped" in said


@pytest.mark.slow
def test_eleven_spectra(small_demo, tmp_path):
    given = cutouts(small_demo.place, DOZEN, tmp_path / "given")
    lacks_its_place(sorted(given.glob(f"*_{BAD_SOURCE}{CAL}"))[1])
    place = Workspace(tmp_path / "out", "given")
    code, said = run("run", given, "-w", "out", "-j", 2, cwd=tmp_path)
    assert code == 3
    assert f"nodsub jw09999001001_02101 nrs1 {BAD_SOURCE}" in said
    assert "mend what is said above and run the same command again" in said
    assert [s for s in place.find_sources() if place.find_combined(s, SPEC)] == [s for s in DOZEN if s != BAD_SOURCE]


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", "60m") as found:
        yield found


def on_disk(line: Line, disk: SmallDisk) -> tuple[Workspace, Workspace]:
    """A workspace on a small disk, by the name that commands know and by the one that the test can read."""
    return (Workspace(root / "out", line.place.observation) for root in (disk.folder, disk.outside))


@pytest.mark.slow
def test_full_disk(handful, tmp_path, disk):
    """It is said which file could not be written and what to do; when there is room again, the run goes on."""
    place, seen = on_disk(handful, disk)
    command = (*handful.command(place.folder), "--set", "execution.retries=0")
    disk.fill(leave=5_000_000)
    code, said = run(*command, cwd=tmp_path, within=disk.within)
    assert code in (2, 3), said
    assert "No space left on device" in said
    assert f"file: {place.folder}" in said
    assert "remedy" in said
    assert "Traceback" not in said
    disk.make_room()
    code, said = run(*command, cwd=tmp_path, within=disk.within)
    assert code == 0, said
    assert differences(handful.place, seen) == []


@pytest.mark.slow
@pytest.mark.parametrize("leave", [0, 20_000, 60_000])
def test_disk_full_from_the_start(handful, tmp_path, disk, leave):
    place, seen = on_disk(handful, disk)
    disk.fill(leave)
    code, said = run(*handful.command(place.folder), "--set", "execution.retries=0", cwd=tmp_path, within=disk.within)
    assert code in (2, 3), said
    assert str(place.folder) in said
    assert "space" in said
    assert "remedy" in said
    assert "Traceback" not in said
    disk.make_room()
    code, said = run(*handful.command(place.folder), cwd=tmp_path, within=disk.within)
    assert code == 0, said
    assert differences(handful.place, seen) == []


@pytest.mark.slow
def test_read_only_workspace(handful, tmp_path, disk):
    place, seen = on_disk(handful, disk)
    disk.remount("ro")
    code, said = run(*handful.command(place.folder), cwd=tmp_path, within=disk.within)
    assert code == 2
    assert f"the workspace cannot be written: Read-only file system file: {place.folder}" in said
    assert "remedy: give another workspace (-w)" in said
    disk.remount("rw")
    assert run(*handful.command(place.folder), cwd=tmp_path, within=disk.within)[0] == 0
    assert differences(handful.place, seen) == []
    disk.remount("ro")
    assert run(*handful.command(place.folder), cwd=tmp_path, within=disk.within)[0] == 2
    for look in ("status", "plan"):
        code, said = run(look, *handful.target, "-w", place.folder, cwd=tmp_path, within=disk.within)
        assert code == 0, said


@pytest.mark.slow
def test_exposures_may_be_read_only(handful, tmp_path, disk):
    copy(handful.target[0].glob(f"*_{HANDFUL[0]}{CAL}"), disk.outside / "given")
    disk.remount("ro")
    command = ("run", disk.folder / "given", "--to", "nodsub", "-w", tmp_path / "out", "-j", 1, "--no-report")
    code, said = run(*command, cwd=tmp_path, within=disk.within)
    assert code == 0, said
    assert len(list((tmp_path / "out").rglob(f"*{BKGSUB}"))) == 3


@pytest.mark.parametrize(
    ("options", "words"), [("ro", "Read-only file system"), ("size=1m", "No space left on device")]
)
def test_worker_says_which_file_could_not_be_written(tmp_path, disk, options, words):
    disk.remount(options)
    target = disk.outside / "a.txt"
    order = Order("write", "a", f"{write_much.__module__}:{write_much.__name__}", {"path": target}, tmp_path / "a.log")
    outcome = run_order(order)
    assert outcome.status in BAD
    assert words in outcome.reason
    assert f"file: {target}" in outcome.reason
    assert "remedy" in outcome.reason


def test_worker_says_that_its_log_could_not_be_written(tmp_path, disk):
    disk.remount("ro")
    log = disk.outside / "a.log"
    outcome = run_order(Order("write", "a", "os:getcwd", {}, log))
    assert outcome.status == FAILED
    assert "Read-only file system" in outcome.reason
    assert str(log) in outcome.reason
    assert "remedy" in outcome.reason


def lacks_its_head(path: Path) -> None:
    """Not even its header can be read: nothing is known of it but its name."""
    with path.open("r+b") as stream:
        stream.truncate(1000)


def is_cut_off(path: Path) -> None:
    """Its header promises more than there is."""
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", [lacks_its_head, is_cut_off])
def test_one_corrupt_exposure_among_three(small_demo, tmp_path, how):
    """The others go on; when it is mended, what was made without it is made again, by the same command."""
    place, raw = small_demo.place, small_demo.place.folder / RAW
    rateraw = sorted(place.exposures.glob(f"*{RATERAW}"))
    file = sorted(raw.glob(f"*{UNCAL}"))[1]
    given = copy([rateraw[0], rateraw[2], file, *raw.glob("*_msa.fits")], tmp_path / "given")
    (tmp_path / "sparing.toml").write_text(SPARING)
    jobs = 1 + 3 + 1 + 3 + 1 + 1 + 1 + 1  # detector, clean, shutters, calibrate, nodsub, stack, extract, redshift
    target = (given, "-c", tmp_path / "sparing.toml", "--source", place.find_sources()[0])
    line = undisturbed(target, (), jobs, tmp_path)
    spoiled = given / file.name
    how(spoiled)
    place = Workspace(tmp_path / "out", line.place.observation)
    code, said = run(*line.command(place.folder), cwd=tmp_path)
    assert code == 3
    assert spoiled.name in said
    assert "remedy: the file is damaged or incomplete: copy or download it again" in said
    assert len(place.find_combined(place.find_sources()[0], SPEC)) == 1
    shutil.copyfile(file, spoiled)
    code, said = run(*line.command(place.folder), cwd=tmp_path)
    assert code == 0, said
    line.check(place)


@pytest.mark.slow
def test_cutout_whose_header_cannot_be_read(handful, tmp_path):
    """What is made without it is known not to be complete, and made again when it is there."""
    given = copy(handful.target[0].iterdir(), tmp_path / handful.target[0].name)
    file = sorted(given.glob(f"*_{HANDFUL[0]}{CAL}"))[1]
    lacks_its_head(file)
    line, place = replace(handful, target=(given,)), Workspace(tmp_path / "out", handful.place.observation)
    code, said = run(*line.command(place.folder), cwd=tmp_path)
    assert code == 3
    assert file.name in said
    assert f"{len(HANDFUL) + 1} done, 1 data-error" in said
    code, said = run("status", given, "-w", place.folder, cwd=tmp_path)
    assert code == 3
    assert "done in part" in said
    assert "made from 2 of 3 inputs" in said
    shutil.copyfile(handful.target[0] / file.name, file)
    code, said = run(*line.command(place.folder), cwd=tmp_path)
    assert code == 0, said
    assert f"1 done, {len(HANDFUL)} skipped" in said


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False])
def test_killed_while_the_report_is_drawn(handful, tmp_path, whole_group):
    """Nobody goes on drawing; the same command draws it, though there is no job left to run."""
    place, command = Workspace(tmp_path / "out", handful.place.observation), handful.command("out")[:-1]
    running = launch(*command, cwd=tmp_path)
    assert wait_until(lambda: running.ended or list(place.report.rglob("*.png")))
    running.kill(whole=whole_group)
    page = place.report / "index.html"
    assert not page.exists()
    code, said = run(*command, cwd=tmp_path)
    assert code == 0, said
    assert f"{len(HANDFUL) + 1} skipped" in said
    assert page.is_file()
    pages = [place.report / "sources" / f"{source}.html" for source in HANDFUL]
    figures = [one.parent / found for one in pages for found in re.findall(r'<img[^>]* src="([^"]+)"', one.read_text())]
    assert len(figures) == len(HANDFUL)
    assert all(figure.stat().st_size > 0 for figure in figures)
    handful.check(place)


@pytest.mark.slow
def test_interrupted_while_the_report_is_drawn(handful, tmp_path):
    place, command = Workspace(tmp_path / "out", handful.place.observation), handful.command("out")[:-1]
    running = launch(*command, cwd=tmp_path)
    assert wait_until(lambda: running.ended or list(place.report.rglob("*.png")))
    running.send(signal.SIGINT, whole=True)
    assert running.wait() == 130, running.said
    assert "Traceback" not in running.said
    assert running.all_gone()
    assert run(*command, cwd=tmp_path)[0] == 0
    assert (place.report / "index.html").exists()


@pytest.mark.slow
def test_demo_killed_while_it_simulates(small_demo, tmp_path):
    """The raw exposures and the truth, stuck shutters too, are those of a demo that nobody disturbed."""
    place, like, dice = Workspace(tmp_path / "demo", "demo"), small_demo.place, random.Random(SEED)

    def raw_files(of: Workspace) -> list[Path]:
        return sorted(p.relative_to(of.folder) for p in (of.folder / RAW).rglob("*") if p.is_file())

    def simulated() -> bool:
        return any(job == "detector" for job, _ in under_way(events(place)))

    for _ in range(4):
        running = launch("demo", "--size", "small", "-w", place.folder, "-j", 2, cwd=tmp_path)
        seen = len(raw_files(place))
        wait_until(lambda: running.ended or len(raw_files(place)) > seen or simulated())  # noqa: B023
        time.sleep(dice.uniform(0, 4))
        running.kill(whole=dice.random() < 0.5)
    running = launch("demo", "--size", "small", "-w", place.folder, "-j", 2, cwd=tmp_path)
    assert wait_until(lambda: running.ended or simulated())
    running.kill(whole=False)
    assert raw_files(place) == raw_files(like)
    for name in raw_files(like):
        found = list(of_files(like.folder / name, place.folder / name))
        assert found == [], name


@pytest.mark.slow
@pytest.mark.parametrize("leave", [20_000_000, 150_000_000])
def test_disk_full_in_the_middle_of_all_stages(whole, tmp_path, leave):
    """Count rates need 300 MB: first there is no room for any, then for some."""
    with small_disk(tmp_path / "disk", "500m") as disk:
        place, seen = on_disk(whole, disk)
        command = (*whole.command(place.folder), "--set", "execution.retries=0")
        disk.fill(leave)
        code, said = run(*command, cwd=tmp_path, within=disk.within)
        assert code in (2, 3), said
        assert "No space left on device" in said
        assert f"file: {place.folder}" in said
        assert "remedy: check free space" in said
        assert "Traceback" not in said
        disk.make_room()
        code, said = run(*command, cwd=tmp_path, within=disk.within)
        assert code == 0, said
        assert differences(whole.place, seen) == []


@pytest.mark.slow
def test_no_room_for_temporary_files(whole, tmp_path):
    """The stock pipeline writes there first; the message says where that is."""
    cwd = tmp_path / "work"
    cwd.mkdir()
    with small_disk(cwd / SCRATCH, "8m") as disk:
        place = Workspace(cwd / "out", whole.place.observation)
        command = (*whole.command(place.folder), "--set", "execution.retries=0")
        code, said = run(*command, cwd=cwd, within=disk.within)
        assert code == 3, said
        assert "No space left on device" in said or "Not enough space on disk" in said
        assert str(cwd / SCRATCH) in said
        assert "remedy: check free space" in said
    code, said = run(*command, cwd=cwd)
    assert code == 0, said
    whole.check(place)
