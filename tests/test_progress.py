"""Progress: the time left, lines where there is no terminal, and bad news at once."""

from __future__ import annotations

from collections import Counter

import pytest

from nirfire import progress as module
from nirfire.pipeline.jobs import DATA_ERROR, DONE, NO_WORK, SKIPPED, Outcome
from nirfire.progress import Estimate, TerminalProgress


def test_the_time_left_is_from_this_run_or_earlier_ones():
    estimate = Estimate(Counter(clean=3, stack=2), {"stack": 10.0}, workers=2)
    assert estimate.seconds() is None, "nothing is known of clean"
    estimate.count(Outcome("clean", "1", DONE, seconds=4.0))
    assert estimate.seconds() == pytest.approx((2 * 4 + 2 * 10) / 2)
    assert estimate.words() == "about 14 s left"
    estimate.count(Outcome("clean", "2", SKIPPED))
    assert estimate.seconds() == pytest.approx((4 + 20) / 2), "what is skipped says nothing of the time"
    for key in "34":
        estimate.count(Outcome("stack", key, DONE, seconds=600.0))
    estimate.count(Outcome("clean", "3", DONE))
    assert estimate.words() == ""


def test_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with TerminalProgress() as bars:
        bars.hooks.begin({"clean": 2, "stack": 1}, {"clean": 1.0, "stack": 1.0}, 1)
        bars.hooks.tick(Outcome("clean", "1", DONE, seconds=1.0))
        bars.hooks.tick(Outcome("clean", "2", NO_WORK, "no slit"))
        bars.hooks.tick(Outcome("stack", "1", DONE, seconds=1.0))
    said = capsys.readouterr().err
    assert said == "clean 1/2, about 2 s left\nclean 2/2, 1 no-work, about 1 s left\nstack 1/1\n"


def test_nothing_is_said_of_what_is_skipped(capsys):
    with TerminalProgress() as bars:
        bars.hooks.begin({"clean": 2}, {}, 1)
        for key in "12":
            bars.hooks.tick(Outcome("clean", key, SKIPPED, "its product is up to date"))
    assert capsys.readouterr().err == ""


def test_bad_news_come_at_once_and_as_they_were_written(capsys):
    with TerminalProgress() as bars:
        bars.hooks.begin({"clean": 2}, {}, 1)
        bars.hooks.tick(Outcome("clean", "1", DATA_ERROR, "bad [red]\n  file: /a/[b]/c.fits", log="logs/clean/1.log"))
        bars.hooks.say("fetching [/x] into [bold]")
    said = capsys.readouterr().err
    assert "data-error clean 1\n  bad [red]\n  file: /a/[b]/c.fits\n  log: logs/clean/1.log\n" in said
    assert "fetching [/x] into [bold]\n" in said
