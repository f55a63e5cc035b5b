"""The pages build without a warning, and the README points to files that exist."""

from __future__ import annotations

import re
import subprocess
import sys

from .conftest import ROOT

BUILD = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]


def test_the_site_builds_without_warnings(tmp_path):
    command = [sys.executable, *BUILD, "-d", str(tmp_path / "doctrees"), "docs", str(tmp_path / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "html" / "quickstart.html").read_text()
    assert "runs in:" not in re.sub("<!--.*?-->", "", page)
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page), "a page loads from elsewhere"


def slug(heading: str) -> str:
    """Anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)#?([^)]*)\)", (ROOT / "README.md").read_text())
    local = [(ROOT / target, anchor) for target, anchor in links if "://" not in target]
    assert local
    for path, anchor in local:
        assert path.exists()
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
            assert anchor in map(slug, headings), f"{path.name}#{anchor}"
