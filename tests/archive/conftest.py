"""The stand-in archive and downloads that do not wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nirfire.archive.download import download
from nirfire.archive.options import DownloadOptions, Patience
from tests.archive.standin import PROGRAM, make_files, serving

QUICK = Patience(attempts=4, first_wait=0.01, longest_wait=0.04, longest_asked=5, connect=60, silence=60, query=60)


@pytest.fixture(scope="session")
def files():
    return make_files()


@pytest.fixture
def archive(files, monkeypatch):
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with serving(files) as standin:
        monkeypatch.setenv("NIRFIRE_MAST_URL", standin.url)
        yield standin


@pytest.fixture
def options(tmp_path):
    return DownloadOptions(PROGRAM, observations=(61,), folder=tmp_path / "raw", patience=QUICK)


@pytest.fixture
def fetch(options):
    def _fetch(progress=None, announce=None, **changes):
        return download(replace(options, **changes), progress, announce)

    return _fetch
