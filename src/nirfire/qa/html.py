"""Pages of a report as static HTML: no network, relative links, styles and script inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources

import numpy as np


@dataclass(frozen=True)
class Cell:
    """A table cell whose text links to a place on the page, or is shaded.

    Attributes
    ----------
    value : object
        What is shown; numbers are sorted as numbers.
    link : str
        Target, for example ``#source-101``.
    tone : str
        ``good``, ``bad``, ``warn`` or nothing.
    """

    value: object
    link: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure beside the page: relative address, caption, and what to say when it could not be drawn."""

    address: str
    caption: str
    problem: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    anchor, title : str
    facts : sequence of (str, str or Cell)
        Name and value, shown in one line each.
    notes : sequence of str
        Paragraphs.
    tables : sequence of (headings, rows)
    pictures : sequence of Picture
    parts : sequence of Section
        Subsections, one level lower.
    folded : bool
        Shown as its title only, until it is clicked.
    """

    anchor: str
    title: str
    facts: Sequence[tuple[str, object]] = ()
    notes: Sequence[str] = ()
    tables: Sequence[tuple[Sequence[str], Sequence[Sequence[object]]]] = ()
    pictures: Sequence[Picture] = ()
    parts: Sequence[Section] = ()
    folded: bool = False


def page(title: str, sections: Sequence[Section], links: Sequence[tuple[str, str]] = (), base: str = "") -> str:
    """Return the whole page.

    Parameters
    ----------
    title : str
    sections : sequence of Section
    links : sequence of (str, str)
        Text and address of other pages, at its top.
    base : str
        What leads from the page's folder to that of the pictures' addresses, for example ``../``.
    """
    style, script = _shared("report.css"), _shared("report.js")
    others = " ".join(f'<a class="page" href="{escape(to, quote=True)}">{escape(text)}</a>' for text, to in links)
    here = " ".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    body = "\n".join(_section(s, 2, base) for s in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1><nav>{others} {here}</nav></header>\n<main>\n{body}\n</main>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _section(section: Section, level: int, base: str) -> str:
    title = f"<h{level}>{escape(section.title)}</h{level}>"
    opening = f"<details><summary>{title}</summary>" if section.folded else title
    pieces = [f'<section id="{section.anchor}">', opening]
    if section.facts:
        rows = "".join(f"<dt>{escape(k)}</dt><dd>{_text(v)}</dd>" for k, v in section.facts)
        pieces.append(f"<dl>{rows}</dl>")
    pieces += [f"<p>{escape(note)}</p>" for note in section.notes]
    pieces += [_table(headings, rows) for headings, rows in section.tables]
    pieces += [_picture(p, base) for p in section.pictures]
    pieces += [_section(part, level + 1, base) for part in section.parts]
    return "\n".join([*pieces, "</details></section>" if section.folded else "</section>"])


@cache
def _shared(name: str) -> str:
    """What all pages hold."""
    return (resources.files("nirfire.qa") / "data" / name).read_text()


def _picture(picture: Picture, base: str) -> str:
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    if picture.problem:
        return f'<figure>{caption}<p class="problem">{escape(picture.problem)}</p></figure>'
    source = escape(base + picture.address, quote=True)
    image = f'<img src="{source}" alt="{escape(picture.caption, quote=True)}" loading="lazy">'
    return f'<figure>{caption}<a href="{source}">{image}</a></figure>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in headings)
    body = "\n".join(f"<tr>{''.join(_cells(row))}</tr>" for row in rows)
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _cells(row: Sequence[object]) -> Iterable[str]:
    for value in row:
        cell = value if isinstance(value, Cell) else Cell(value)
        text = _text(cell)
        number = isinstance(cell.value, int | float | np.integer | np.floating) and not isinstance(cell.value, bool)
        classes = " ".join(c for c in ("number" if number else "", cell.tone) if c)
        yield f"<td{f' class={chr(34)}{classes}{chr(34)}' if classes else ''}>{text}</td>"


def _text(value: object) -> str:
    """Escaped text of a value, with its link."""
    cell = value if isinstance(value, Cell) else Cell(value)
    text = escape(shown(cell.value)).replace("\n", "<br>")
    return f'<a href="{escape(cell.link, quote=True)}">{text}</a>' if cell.link else text


def shown(value: object) -> str:
    """Text of a value: numbers to five digits, NaN as a dash."""
    if value is None or np.ma.is_masked(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.5g}" if np.isfinite(value) else "–"
    return str(value)
