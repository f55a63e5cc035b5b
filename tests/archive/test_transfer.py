"""One file on a bad line."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from nirfire.archive.checksum import header_checksum, parse_checksum
from nirfire.archive.retry import retry_after
from tests.archive.standin import Fault

NAME = "jw01345061001_03101_00001_nrs1_uncal.fits"
AT = 280_000


@pytest.fixture
def one(archive, fetch):
    """Fetch with faults in one file; gives its outcome, the requests for it, and whether its bytes are right."""

    def _one(*faults, **changes):
        archive.faults[NAME] = list(faults)
        report = fetch(**changes)
        assert all(f.status == "done" for f in report.files if f.file != NAME)
        outcome = next(f for f in report.files if f.file == NAME)
        path = report.folder / NAME
        right = path.exists() and path.read_bytes() == archive.body(NAME)
        assert right == (outcome.status == "done") == path.exists()
        return outcome, archive.asked(NAME), report

    return _one


@pytest.mark.parametrize("kind", ["truncate", "reset"])
def test_broken_in_the_middle(one, archive, kind):
    outcome, asked, _ = one(Fault(kind, at=AT), Fault(kind, at=140_000))
    assert outcome.status == "done"
    starts = [int(r.range.removeprefix("bytes=").rstrip("-") or 0) for r in asked]
    assert [r.status for r in asked] == [200, 206, 206]
    assert 0 == starts[0] < starts[1] < starts[2]
    assert AT - 2 * (1 << 17) < starts[1] <= AT
    assert outcome.moved == len(archive.body(NAME))
    assert all(r.if_range.startswith('"') for r in asked[1:])


def test_patience_begins_anew_with_every_step_forward(one):
    outcome, asked, _ = one(*[Fault("truncate", at=1 << 17)] * 3, *[Fault("status", status=502)] * 3)
    assert outcome.status == "done" and len(asked) == 7


def test_no_etag(one, archive):
    archive.tags = False
    outcome, asked, _ = one(Fault("truncate", at=AT))
    assert outcome.status == "done" and asked[1].if_range.endswith("GMT") and asked[1].status == 206


def test_archive_without_ranges(one, archive):
    archive.ranges = False
    outcome, asked, _ = one(Fault("truncate", at=AT))
    assert outcome.status == "done" and outcome.moved > len(archive.body(NAME))
    assert asked[1].range and asked[1].status == 200


def test_archive_without_ranges_and_always_broken(one, archive):
    archive.ranges = False
    outcome, asked, report = one(*[Fault("truncate", at=AT)] * 9)
    assert outcome.status == "failed" and len(asked) == 5  # one step forward, and four attempts that bring nothing new
    assert report.exit_code == 3
    assert f" of {len(archive.body(NAME))}: IncompleteRead" in outcome.error.message


def test_changed_while_it_was_fetched(one, archive, fetch):
    """A begun file is not gone on with when the archive's version is another by then."""
    one(Fault("truncate", at=AT), *[Fault("status", status=503)] * 4)
    body = bytearray(archive.body(NAME))
    body[100_000] ^= 1
    archive.files[NAME[:25]][NAME] = bytes(body)
    report = fetch()
    assert (report.folder / NAME).read_bytes() == body
    last = archive.asked(NAME)[-1]
    assert last.range and last.if_range and last.status == 200


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_status_that_passes(one, status):
    outcome, asked, _ = one(Fault("status", status=status), Fault("status", status=status))
    assert outcome.status == "done" and len(asked) == 3


def test_retry_after_is_honoured(one):
    begin = time.monotonic()
    outcome, asked, _ = one(Fault("status", status=429, headers={"Retry-After": "1"}))
    assert outcome.status == "done" and len(asked) == 2 and time.monotonic() - begin >= 1


def test_retry_after_too_long(one):
    outcome, asked, _ = one(Fault("status", status=429, headers={"Retry-After": "3600"}))
    assert outcome.status == "failed" and len(asked) == 1
    assert "asks to wait for 60 minutes" in outcome.error.message


@pytest.mark.parametrize("status", [400, 404, 410])
def test_status_that_does_not_pass(one, status):
    outcome, asked, _ = one(Fault("status", status=status))
    assert outcome.status == "failed" and len(asked) == 1 and NAME in str(outcome.error)


@pytest.mark.parametrize("given", ["checksums", "digests"])
def test_wrong_bytes_are_seen_by_the_checksum(one, archive, given):
    setattr(archive, given, True)
    outcome, asked, report = one(Fault("flip"))
    assert outcome.status == "done" and len(asked) == 2
    algorithm = "md5" if given == "checksums" else "sha256"
    expected = hashlib.new(algorithm, archive.body(NAME)).hexdigest()
    assert f"{algorithm}:{expected}" in (report.folder / "manifest.ecsv").read_text()


def test_checksum_that_never_agrees(one, archive):
    archive.checksums = True
    outcome, asked, report = one(*[Fault("flip")] * 9)
    assert outcome.status == "failed" and len(asked) == 2
    assert "came damaged 2 times: checksum md5:" in outcome.error.message
    assert not list(report.folder.glob("*.part*"))


def test_short_reply_with_the_listed_size_known(one):
    outcome, asked, _ = one(Fault("short", at=AT))
    assert outcome.status == "done" and len(asked) == 2


def test_short_reply_is_seen_by_the_headers_of_the_file(one, archive, fetch):
    archive.sizes = False
    outcome, asked, _ = one(Fault("short", at=AT))
    assert outcome.status == "done" and len(asked) == 2
    assert all(f.status == "skipped" for f in fetch().files)


def test_reply_without_end(one):
    outcome, asked, _ = one(Fault("excess"))
    assert outcome.status == "done" and len(asked) == 2


def test_part_of_something_else_is_not_used(one, fetch):
    folder = fetch(dry_run=True).folder
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(b"x" * 1000)
    outcome, asked, _ = one()
    assert outcome.status == "done" and not asked[0].range


def test_silence_is_a_fault(one, options):
    outcome, asked, _ = one(Fault("slow", at=AT), patience=replace(options.patience, silence=1.0))
    assert outcome.status == "done" and asked[1].status == 206


def test_reading_of_headers():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    assert 900 < retry_after({"Retry-After": soon}) <= 1000
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "soon"}) is None and retry_after({}) is None
    assert parse_checksum("MD5:" + "A" * 32) == "md5:" + "a" * 32
    assert parse_checksum("n/a") is None and parse_checksum("z" * 32) is None
    empty = "1B2M2Y8AsgTpgAmY7PhCfg=="
    assert header_checksum({"Content-MD5": empty}, whole=True) == "md5:d41d8cd98f00b204e9800998ecf8427e"
    assert header_checksum({"Content-MD5": empty}, whole=False) is None
    assert header_checksum({"Repr-Digest": f"md5=:{empty}:"}, whole=False) == "md5:d41d8cd98f00b204e9800998ecf8427e"
    assert header_checksum({"Digest": "adler32=03da0195"}, whole=True) is None
