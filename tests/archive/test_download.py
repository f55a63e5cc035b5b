"""A download as a whole: what is on disk afterwards, what a second run does, what is said of failures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from astropy.table import Table

from nirfire.archive.checksum import file_checksum
from nirfire.errors import DataError
from tests.archive.standin import METAFILE, PROGRAM, Fault, make_fits
from tests.pipeline.cluster_help import wait_until

NAME = "jw01345061001_03101_00001_nrs1_uncal.fits"
OTHER = "jw01345061001_03101_00002_nrs2_uncal.fits"
TOKEN = "0123456789abcdef-secret"


def check(report, archive):
    """Every file is here with the archive's bytes, and nothing is left of the way."""
    for outcome in report.files:
        assert (report.folder / outcome.file).read_bytes() == archive.body(outcome.file)
    here = {p.name for p in report.folder.iterdir()} - {"manifest.ecsv", ".download.lock"}
    assert here == {f.file for f in report.files}


def statuses(report):
    return dict(Counter(f.status for f in report.files))


def manifest(report):
    table = Table.read(report.folder / "manifest.ecsv")
    return {row["file"]: row for row in table}


def test_first_and_second_run(archive, fetch):
    seen, plans = [], []
    report = fetch(lambda *now: seen.append(now), plans.append)
    check(report, archive)
    assert statuses(report) == {"done": 5} and report.exit_code == 0
    assert archive.asked()[0].what == METAFILE or METAFILE in [r.what for r in archive.asked()[:4]]
    size = len(archive.body(NAME))
    mine = [done for name, done, total in seen if name == NAME and total == size]
    assert len(mine) > 2 and mine == sorted(mine) and mine[-1] == size
    assert [p.moved for p in plans] == [report.size] == [report.moved]
    row = manifest(report)[NAME]
    assert (row["size"], row["status"]) == (size, "done")
    assert row["checksum"] == file_checksum(report.folder / NAME)
    assert row["uri"].endswith("/" + NAME) and row["downloaded"].startswith("20")

    before = len(archive.asked())
    again = fetch()
    assert statuses(again) == {"skipped": 5} and again.moved == 0 and again.exit_code == 0
    assert len(archive.asked()) == before
    assert manifest(again)[NAME]["downloaded"] == row["downloaded"]
    assert statuses(fetch(dry_run=True)) == {"here": 5}


def test_interrupted_download_goes_on(archive, fetch):
    def interrupt(name, done, total):
        if name == NAME and done > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(interrupt, jobs=1)
    folder = fetch(dry_run=True).folder
    here = (folder / f"{NAME}.part").stat().st_size
    assert 200_000 < here < len(archive.body(NAME)) and not (folder / NAME).exists()
    plan = {f.file: f for f in fetch(dry_run=True).files}
    assert plan[NAME].status == "to resume" and plan[NAME].moved == len(archive.body(NAME)) - here
    assert plan[METAFILE].status == "here"
    archive.requests.clear()
    report = fetch()
    check(report, archive)
    (request,) = archive.asked(NAME)
    assert request.range == f"bytes={here}-" and request.if_range.startswith('"') and request.status == 206
    assert not archive.asked(METAFILE)


def test_what_a_kill_leaves_is_swept(archive, fetch):
    folder = fetch().folder
    (folder / f"{NAME}.part.json").write_text("{}")  # killed between the file's renaming and the end of its note
    (folder / ".part-abcmanifest.ecsv").write_text("# half")
    check(fetch(), archive)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_killed_download_goes_on(archive, fetch, options, number):
    archive.faults[NAME] = [Fault("slow", at=300_000)]
    code = (
        "import os, sys; from pathlib import Path; from nirfire.archive.download import download;"
        "from nirfire.archive.options import DownloadOptions; sys.excepthook = lambda kind, *_: os._exit(130);"
        f"download(DownloadOptions({PROGRAM}, observations=(61,), folder=Path({str(options.folder)!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    part = options.folder / f"{NAME}.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 200_000, 120, "it does not begin")
    process.send_signal(number)
    assert process.wait(timeout=60) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    here = part.stat().st_size
    archive.requests.clear()
    report = fetch()
    check(report, archive)
    assert archive.asked(NAME)[0].range == f"bytes={here}-"


def test_one_bad_file_leaves_the_others(archive, fetch):
    archive.faults[NAME] = Fault("status", status=404)
    archive.faults[OTHER] = Fault("status", status=503)
    report = fetch()
    assert statuses(report) == {"done": 3, "failed": 2} and report.exit_code == 3
    assert len(archive.asked(NAME)) == 1 and len(archive.asked(OTHER)) == 4
    said = report.summary()
    assert said.startswith("3 done, 2 failed;")
    assert f"the archive does not give it (HTTP 404)\n  {NAME}\n  remedy:" in said
    assert f"given up after 4 attempts: HTTP 503\n  {OTHER}\n  remedy: run the same command again" in said
    assert manifest(report)[NAME]["status"] == "failed"
    archive.faults.clear()
    again = fetch()
    assert statuses(again) == {"done": 2, "skipped": 3} and again.exit_code == 0
    check(again, archive)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_without_token(archive, fetch, status):
    archive.faults[NAME] = Fault("status", status=status)
    report = fetch()
    assert statuses(report) == {"done": 4, "failed": 1}
    assert "set the environment variable MAST_API_TOKEN" in report.summary()
    assert len(archive.asked(NAME)) == 1


def test_token_goes_to_the_archive_only(archive, fetch, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("MAST_API_TOKEN", TOKEN)
    archive.private = TOKEN
    archive.faults[OTHER] = [Fault("reset", at=150_000)]
    report = fetch()
    check(report, archive)
    assert report.exit_code == 0
    assert {r.token for r in archive.asked()} == {f"token {TOKEN}"}
    assert not any(r.token for r in archive.requests if r.what in ("search", "products", "columns"))
    assert TOKEN not in caplog.text and TOKEN not in (report.folder / "manifest.ecsv").read_text()
    assert TOKEN not in repr(report) + report.summary()


def test_token_that_gives_no_access(archive, fetch, monkeypatch):
    monkeypatch.setenv("MAST_API_TOKEN", "another")
    archive.private = TOKEN
    report = fetch()
    assert statuses(report) == {"failed": 5} and report.exit_code == 3
    said = report.summary()
    assert said.count("the token in MAST_API_TOKEN has run out or gives no access") == 1
    assert "another" not in said.replace("another folder", "")


def test_token_does_not_follow_a_redirect(archive, fetch, files, monkeypatch):
    from tests.archive.standin import serving

    monkeypatch.setenv("MAST_API_TOKEN", TOKEN)
    with serving(files) as elsewhere:
        address = f"{elsewhere.url.replace('127.0.0.1', 'localhost')}/search/jwst/api/v0.1/retrieve_product"
        archive.faults[NAME] = Fault("redirect", status=302, headers={"Location": f"{address}?product_name=x/{NAME}"})
        report = fetch()
        check(report, archive)
        assert [r.token for r in elsewhere.requests] == [""]
        assert archive.asked(NAME)[0].token == f"token {TOKEN}"


def test_token_is_not_sent_unencrypted(fetch, monkeypatch):
    monkeypatch.setenv("MAST_API_TOKEN", TOKEN)
    with pytest.raises(DataError, match="not sent unencrypted") as error:
        fetch(server="http://archive.example")
    assert TOKEN not in str(error.value)


def test_file_that_changed_at_the_archive(archive, fetch):
    fetch()
    fileset = NAME[:25]
    archive.files[fileset] = dict(archive.files[fileset]) | {NAME: make_fits("new", METAFILE, 420)}
    report = fetch()
    check(report, archive)
    assert statuses(report) == {"done": 1, "skipped": 4}


def test_same_size_but_another_checksum_at_the_archive(archive, fetch):
    archive.checksums = True
    fetch()
    archive.files[NAME[:25]][NAME] = make_fits("new", METAFILE, 400)
    report = fetch()
    check(report, archive)
    assert statuses(report) == {"done": 1, "skipped": 4}
    assert manifest(report)[NAME]["checksum"].startswith("md5:")


def test_files_here_are_believed_as_far_as_they_deserve(archive, fetch):
    folder = fetch().folder
    later = time.time() + 60  # file systems count time in ticks
    os.utime(folder / NAME, (later, later))  # touched: read, found right
    damaged = bytearray(archive.body(OTHER))
    damaged[-4000] ^= 1
    (folder / OTHER).write_bytes(damaged)  # same size, other bytes: fetched again
    os.utime(folder / OTHER, (later, later))
    report = fetch()
    check(report, archive)
    assert {f.file for f in report.files if f.status == "done"} == {OTHER}

    (folder / "manifest.ecsv").unlink()  # no record: looked through and taken over
    (folder / OTHER).write_bytes(archive.body(OTHER)[:-2880])
    report = fetch()
    check(report, archive)
    assert {f.file for f in report.files if f.status == "done"} == {OTHER}
    assert len(manifest(report)) == 5


def test_manifest_keeps_other_observations(archive, fetch):
    fetch()
    assert len(manifest(fetch(observations=(62,)))) == 8


def test_manifest_that_cannot_be_read(archive, fetch):
    folder = fetch().folder
    (folder / "manifest.ecsv").write_text("nonsense")
    with pytest.raises(DataError, match="delete it"):
        fetch()


def test_disk_too_small(archive, fetch, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 10**6))
    with pytest.raises(DataError, match=r"needs 1\.7 MB, the disk has 1\.0 MB free"):
        fetch()
    assert not archive.asked()
    assert len(fetch(observations=(62,), level="rate").files) == 3


def test_disk_that_fills_up(archive, fetch, monkeypatch):
    def full(self, name, done, size):
        if name == NAME:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("nirfire.archive.download._Worker.tell", full)
    report = fetch()
    assert statuses(report) == {"done": 4, "failed": 1}
    assert "cannot be written here (No space left on device)" in report.summary()
    assert len(archive.asked(NAME)) == 1


def test_two_downloads_at_once(archive, fetch):
    def second(name, done, total):
        if not tried:
            tried.append(name)
            with pytest.raises(DataError, match="another download is writing"):
                fetch()

    tried: list[str] = []
    assert fetch(second, jobs=1).exit_code == 0
    assert tried


def test_folder_that_cannot_be(archive, fetch, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="folder cannot be written"):
        fetch(folder=Path(tmp_path / "file" / "raw"))


def test_metafile_that_nobody_lists(archive, fetch):
    for own in archive.files.values():
        own.pop(METAFILE, None)
    report = fetch()
    assert statuses(report) == {"done": 4} and report.exit_code == 3
    assert f"MSA metafile {METAFILE} is not listed" in report.summary()
    (report.folder / METAFILE).write_bytes(b"put there by hand")
    assert fetch().exit_code == 0
