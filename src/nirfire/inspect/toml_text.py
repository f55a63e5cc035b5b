"""Text of a TOML file that people write: what the values do not show, and an edit must not lose."""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher

BOM = "\ufeff"
TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|(?P<comment>#[^\r\n]*)''', re.DOTALL
)


def comments(text: str) -> list[str]:
    """All comments of a text, without what follows them; a # within a string begins none."""
    return [match["comment"].rstrip() for match in TOKEN.finditer(text) if match["comment"]]


def with_comments(before: str, after: str) -> str:
    """A text after an edit, with the comments that went with what was taken out.

    Parameters
    ----------
    before, after : str
        The text before the edit and after it, of the same line ends.

    Returns
    -------
    str
        `after`; what was taken out together with a comment stands in its place, as a comment of its own.
    """
    lost = Counter(comments(before)) - Counter(comments(after))
    if not lost:
        return after
    old, new = _lines(before), _lines(after)
    made: list[str] = []
    for tag, first, last, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag in ("delete", "replace"):
            made += _kept(old[first:last], lost, whole=tag == "delete")
        made += new[begin:end]
    return "".join(made)


def _kept(gone: list[str], lost: Counter[str], *, whole: bool) -> list[str]:
    """Lines as comments: those with a comment that is lost, or all when one of them has."""
    marked = []
    for line in gone:
        said = [one for one in comments(line) if lost[one] > 0]
        lost.subtract(said)
        marked.append(bool(said))
    return [_as_comment(line) for line, keep in zip(gone, marked, strict=True) if keep or (whole and any(marked))]


def _as_comment(line: str) -> str:
    text = line if line.endswith("\n") else f"{line}\n"
    return text if text.lstrip().startswith("#") or not text.strip() else re.sub(r"^([ \t]*)", r"\1# ", text)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def with_line_ends(before: str, after: str) -> str:
    """A text with the line ends of the one that it was made from, where that has CR LF throughout."""
    every = before.count("\n")
    if every == 0 or before.count("\r\n") < every:
        return after
    return re.sub(r"(?<!\r)\n", "\r\n", after)
