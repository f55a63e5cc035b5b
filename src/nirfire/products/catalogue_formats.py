"""One described table in four formats, all with units, UCDs and descriptions: ECSV, FITS, Parquet and VOTable."""

from __future__ import annotations

import base64
import csv
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from astropy.io.votable.tree import CooSys, Field, Info, Resource, TableElement, VOTableFile
from astropy.table import Table, meta
from astropy.units import UnitsWarning

from nirfire.products.atomic import atomic_path
from nirfire.products.columns import Column, primary_hdu
from nirfire.products.fits_tables import table_unit, write_tables

FRAME = "ICRS"
POSITIONS = ("ra", "dec")
LEAST = 2  # characters of a text column: one of length 1 is no text in other tools
ROWS = 57 * 333  # written at once; base64 puts 57 bytes into a line
HERE = "<!-- rows -->"
PARQUET = '<PARQUET type="Parquet-local-XML"/>'
COMMA = ","


def write_ecsv(table: Table, path: Path, name: str) -> None:
    """Write ECSV, its fields parted by comma; the same as astropy's writer makes, in a tenth of its time."""
    named = Table(table, copy=False)
    named.meta = {"table": name, **table.meta}
    head = ["%ECSV 1.0", "---", f"delimiter: '{COMMA}'", *meta.get_yaml_from_table(named)]
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as out:
        out.writelines(f"# {line}\n" for line in head)
        writer = csv.writer(out, delimiter=COMMA, lineterminator="\n")
        writer.writerow(table.colnames)
        columns = [np.asarray(table[column]) for column in table.colnames]
        for rows in _pieces(len(table)):
            writer.writerows(zip(*(_cells(values[rows]) for values in columns), strict=True))


def _pieces(length: int) -> Iterator[slice]:
    """Parts of a table that are worked on at once, so that its size in memory stays what it is."""
    return (slice(start, start + ROWS) for start in range(0, length, ROWS))


def _cells(values: np.ndarray) -> list[object]:
    """Values of a column as a csv writer takes them; floats as text that gives them back to the last bit."""
    plain = values.tolist()
    return [str(value) for value in plain] if values.dtype.kind == "b" else plain


def write_table_fits(table: Table, path: Path, name: str) -> None:
    """Write FITS with TUCDn and TCOMMn. Its text is ASCII: other characters are written as escapes, ``\\xe9``."""
    shown = Table(table, copy=False)
    for column in table.colnames:
        if table[column].dtype.kind == "U":
            shown[column] = _ascii(np.asarray(table[column]))
    frame = {"RADESYS": (FRAME, "frame of ra and dec")} if set(POSITIONS) <= set(table.colnames) else {}
    primary = primary_hdu({str(key): (value, "") for key, value in table.meta.items()})
    write_tables(path, primary, [table_unit(shown, name.upper(), described(table), frame)])


def _ascii(values: np.ndarray) -> np.ndarray:
    if _is_ascii(values):
        return _narrow(values)
    return np.array([text.encode("ascii", "backslashreplace") for text in values.tolist()])


def described(table: Table) -> dict[str, Column]:
    """What a described table says of its columns."""
    return {
        name: Column(str(c.unit or ""), c.meta.get("ucd", ""), c.description or "") for name, c in table.columns.items()
    }


def write_votable(table: Table, path: Path, name: str) -> None:
    """Write a VOTable in BINARY2, with the frame of its positions.

    Notes
    -----
    All fields have a fixed length, so the rows are an array, which is written as it is: astropy's own writer goes from
    value to value and takes ten times as long.
    """
    head, tail = votable_text(table, name, HERE).split(HERE)
    texts = {column: _encoded(np.asarray(table[column])) for column in table.colnames if _is_text(table[column])}
    with atomic_path(path) as part, part.open("wb") as out:
        out.write(f'{head}<BINARY2>\n<STREAM encoding="base64">\n'.encode())
        for rows in _pieces(len(table)):
            out.write(base64.encodebytes(_binary_rows(table, texts, rows).tobytes()))
        out.write(f"</STREAM>\n</BINARY2>{tail}".encode())


def votable_text(table: Table, name: str, data: str) -> str:
    """A VOTable of one table: what it says of the columns, and `data` within its DATA."""
    file = VOTableFile(version="1.4")
    file.coordinate_systems.append(CooSys(ID=FRAME.lower(), system=FRAME))
    resource = Resource(name=name, type="results")
    file.resources.append(resource)
    for key, value in table.meta.items():
        resource.infos.append(Info(name=str(key), value=str(value)))
    element = TableElement(file, name=name, ID=name)
    resource.tables.append(element)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitsWarning)  # erg is valid, but out of favour
        element.fields.extend(_field(file, table, column) for column in table.colnames)
        file.to_xml(out)
    head, end, tail = out.getvalue().decode().rpartition("</TABLE>")
    return f"{head}<DATA>\n{data}\n</DATA>\n{end}{tail}"


def _field(file: VOTableFile, table: Table, name: str) -> Field:
    column = table[name]
    kinds = {"i": "long", "f": "double", "b": "boolean"}
    text = _is_text(column)
    width = 1 if text and _is_ascii(column) else 2
    field = Field(
        file,
        ID=name,
        name=name,
        datatype={1: "char", 2: "unicodeChar"}[width] if text else kinds[column.dtype.kind],
        arraysize=str(_encoded(np.asarray(column)).dtype.itemsize // width) if text else None,
        unit=column.unit,
        ucd=column.meta.get("ucd"),
        ref=FRAME.lower() if name in POSITIONS else None,
        xtype="adql:REGION" if name == "s_region" else None,
    )
    field.description = column.description
    return field


def _is_text(column: np.ndarray) -> bool:
    return column.dtype.kind == "U"


def _codes(values: np.ndarray) -> np.ndarray:
    """Code points of texts, shape (n, width)."""
    plain = np.ascontiguousarray(values)
    return plain.view(np.uint32).reshape(plain.size, max(plain.dtype.itemsize // 4, 1))


def _is_ascii(column: np.ndarray) -> bool:
    return bool((_codes(np.asarray(column)) < 128).all())


def _narrow(values: np.ndarray) -> np.ndarray:
    """ASCII texts, one byte for each character, at least `LEAST`."""
    codes = _codes(values).astype(np.uint8)
    wide = np.zeros((len(codes), max(codes.shape[1], LEAST)), dtype=np.uint8)
    wide[:, : codes.shape[1]] = codes
    return wide.view(f"S{wide.shape[1]}")[:, 0]


def _encoded(values: np.ndarray) -> np.ndarray:
    """Texts as the VOTable has them: ASCII, or two bytes (emoji: four) for each character."""
    if _is_ascii(values):
        return _narrow(values)
    wide = np.char.encode(values, "utf-16-be")
    return wide.astype(f"S{max(wide.dtype.itemsize, 2 * LEAST)}")


def _binary_rows(table: Table, texts: Mapping[str, np.ndarray], rows: slice) -> np.ndarray:
    """Rows as BINARY2 has them: flags of what is null (nothing is), then the fields, big-endian."""
    fields: dict[str, np.ndarray] = {}
    for name in table.colnames:
        if name in texts:
            fields[name] = texts[name][rows]
        else:
            values = np.asarray(table[name])[rows]
            kind = values.dtype.kind
            fields[name] = np.where(values, b"T", b"F") if kind == "b" else values.astype(f">{kind}8")
    flags = f"V{(len(fields) + 7) // 8}"
    size = len(next(iter(fields.values())))
    made = np.zeros(size, dtype=[("null", flags), *((name, values.dtype) for name, values in fields.items())])
    for name, values in fields.items():
        made[name] = values
    return made


def write_parquet(table: Table, path: Path, name: str) -> None:
    """Write Parquet that says what its columns are in the words of astropy and of VOTable (VOParquet 1.0)."""
    import pyarrow
    from pyarrow import parquet

    said = {"table_meta_yaml": "\n".join(meta.get_yaml_from_table(table))}
    said |= {
        f"table::len::{column}": str(max(table[column].dtype.itemsize // 4, 1))
        for column in table.colnames
        if table[column].dtype.kind == "U"
    }
    said |= {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": votable_text(table, name, PARQUET)}
    kinds = {"i": pyarrow.int64(), "f": pyarrow.float64(), "b": pyarrow.bool_(), "U": pyarrow.string()}
    fields = [
        pyarrow.field(column, kinds[table[column].dtype.kind], metadata=_said_of(described(table)[column]))
        for column in table.colnames
    ]
    arrays = [pyarrow.array(np.asarray(table[f.name]), type=f.type, from_pandas=False) for f in fields]
    made = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, metadata=said))
    with atomic_path(path) as part:
        parquet.write_table(made, part)


def _said_of(column: Column) -> dict[str, str]:
    return {"unit": column.unit, "ucd": column.ucd, "description": column.text}


FORMATS: dict[str, tuple[str, Callable[[Table, Path, str], None]]] = {
    "ecsv": ("ecsv", write_ecsv),
    "fits": ("fits", write_table_fits),
    "parquet": ("parquet", write_parquet),
    "votable": ("vot", write_votable),
}
"""Formats: ending of the files, and what writes them."""
