"""What CRDS raises is told apart: the network may be tried again, a missing reference may not.

The check of a whole cache is tested with the embedded instrument's, in tests/simulate/test_crds_cache.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nirfire.errors import DataError
from nirfire.stsci.crds_check import cache_folder, operational_context, server_configured

RAISED = """
import json, sys
from pathlib import Path
from crds.core.exceptions import CrdsDownloadError, CrdsLookupError, CrdsNetworkError, ServiceError
from nirfire.errors import DataError
from nirfire.stsci.crds_check import crds_said_plainly
cache = Path(sys.argv[1])
kinds = {
    "network": CrdsNetworkError("no answer"), "download": CrdsDownloadError("sha1sum does not match"),
    "service": ServiceError("jsonrpc failure"), "lookup": CrdsLookupError("no match"),
    "in the cache": FileNotFoundError(2, "No such file", str(cache / "references" / "a.fits")),
    "elsewhere": FileNotFoundError(2, "No such file", "/somewhere/a.fits"), "bug": ZeroDivisionError(),
}
def told(error):
    try:
        with crds_said_plainly(Path("jw_uncal.fits")):
            raise error
    except DataError as plain:
        assert plain.file == Path("jw_uncal.fits") and plain.remedy and str(error) in plain.message
        return type(plain).__name__
    except (OSError, ArithmeticError) as other:
        return type(other).__name__
print("ANSWER" + json.dumps({name: told(error) for name, error in kinds.items()}))
"""


@pytest.mark.parametrize("url", ["https://crds.invalid", "https://jwst-serverless.stsci.edu"])
def test_network_trouble_is_told_from_missing_references(tmp_path: Path, url: str) -> None:
    environment = {"CRDS_PATH": str(tmp_path), "CRDS_SERVER_URL": url}
    command = [sys.executable, "-c", RAISED, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.partition("ANSWER")[2])
    passing = "DataError" if "serverless" in url else "TransientError"
    assert answer == {
        **dict.fromkeys(("network", "download", "service", "in the cache"), passing),
        "lookup": "DataError",
        "elsewhere": "FileNotFoundError",
        "bug": "ZeroDivisionError",
    }


def test_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not server_configured()
    with pytest.raises(DataError, match="no CRDS cache"):
        cache_folder()
    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("CRDS_SERVER_URL", "https://jwst-server-less.example.org")
    assert not server_configured()
    monkeypatch.setenv("CRDS_SERVER_URL", "https://crds.invalid")
    assert server_configured()


@pytest.mark.parametrize("text", ["{'half", "[]", "{}", "{'observatory': 'jwst'}"])
def test_damaged_configuration_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server_config"
    path.write_text(text)
    with pytest.raises(DataError, match="damaged"):
        operational_context(path)


def test_context_without_a_server_is_the_one_crds_takes(tmp_path: Path) -> None:
    path = tmp_path / "server_config"
    path.write_text("{'operational_context': 'jwst_0001.pmap'}")
    assert operational_context(path) == "jwst_0001.pmap"
    path.write_text("{'operational_context': 'jwst_0001.pmap', 'latest_context': 'jwst_0002.pmap'}")
    assert operational_context(path) == "jwst_0002.pmap"
