"""For all tests of the page."""

from __future__ import annotations

import pytest

from nirfire.inspect import index, listing


@pytest.fixture(autouse=True)
def whole_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are read whole at the first call, also where other tests take the machine."""
    for module in (index, listing):
        monkeypatch.setattr(module, "SECONDS", 600.0)
