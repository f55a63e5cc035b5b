"""A local server that speaks enough of MAST's missions search for astroquery's client, and misbehaves on demand."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import socket
import struct
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import fits

PROGRAM = 1345
METAFILE = "jw01345061001_01_msa.fits"
METAFILE_B = "jw01345062001_02_msa.fits"
EXPOSURES = {
    "jw01345061001_03101_00001": ("NRS_MSASPEC", "CLEAR;PRISM", METAFILE),
    "jw01345061001_03101_00002": ("NRS_MSASPEC", "CLEAR;PRISM", METAFILE),
    "jw01345062001_05101_00001": ("NRS_MSASPEC", "F290LP;G395M", METAFILE_B),
    "jw01345061001_02101_00001": ("NRS_MSATA", "F140X;MIRROR", "jw01345061001_90_msa.fits"),
    "jw01345061001_02103_00001": ("NRS_TACONFIRM", "F140X;MIRROR", "jw01345061001_91_msa.fits"),
    "jw01345-o061_s00012_nirspec_clear-prism": ("NRS_MSASPEC", "CLEAR;PRISM", METAFILE),
}
COLUMNS = ("fileSetName", "productLevel", "exp_type", "opticalElements", "program", "observtn", "access")
SEARCH, PRODUCTS = "/search/jwst/api/v0.1/search", "/search/jwst/api/v0.1/post_list_products"
RETRIEVE, COLUMN_LIST = "/search/jwst/api/v0.1/retrieve_product", "/search/util/api/v0.1/column_list"
DATE = "Tue, 01 Apr 2025 00:00:00 GMT"


@dataclass
class Fault:
    """What goes wrong with one request.

    kind: status (answer with `status` and `headers`), truncate (promise all, send `at` bytes, close), reset (the same
    with a TCP reset), short (promise and send `at` bytes), excess (send more), flip (one byte wrong), slow (pause at
    byte `at`), page (an HTML page), redirect (to `headers["Location"]`).
    """

    kind: str
    at: int = 0
    status: int = 500
    headers: dict = field(default_factory=dict)


@dataclass
class Request:
    """A request as it was received."""

    what: str
    range: str
    if_range: str
    token: str
    status: int = 0


def make_fits(name: str, metafile: str | None, rows: int) -> bytes:
    """A FITS file with bytes that differ everywhere, so that a piece in the wrong place is seen."""
    seed = int(hashlib.md5(name.encode()).hexdigest()[:8], 16)
    image = np.random.default_rng(seed).integers(0, 60000, size=(rows, 512), dtype=np.uint16)
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")])
    hdus[0].header["EXP_TYPE"] = "NRS_MSASPEC"
    if metafile:
        hdus[0].header["MSAMETFL"] = metafile
    out = io.BytesIO()
    hdus.writeto(out)
    return out.getvalue()


def make_files(rows: int = 400) -> dict[str, dict[str, bytes]]:
    """Files of every exposure by name."""
    files: dict[str, dict[str, bytes]] = {}
    for fileset, (_, _, metafile) in EXPOSURES.items():
        own = {metafile: make_fits(metafile, None, 8), f"{fileset}_nrs1_rate.jpg": b"jpeg"}
        for detector in ("nrs1", "nrs2"):
            for suffix in ("uncal", "rate", "cal"):
                name = f"{fileset}_{detector}_{suffix}.fits"
                own[name] = make_fits(name, metafile, rows if suffix == "uncal" else 8)
        files[fileset] = own
    return files


class StandIn:
    """The server.

    Attributes
    ----------
    faults : dict of str to list of Fault
        Used up one by one; keys are file names, "search", "products" and "columns". A Fault instead of a list stays.
    requests : list of Request
        Everything that was asked.
    checksums, digests, ranges, sizes, tags : bool
        Whether the product list gives MD5, replies give Digest, parts are served, sizes are listed, ETags are given.
    private : str or None
        The token without which files are refused.
    """

    def __init__(self, files: dict[str, dict[str, bytes]]) -> None:
        self.files = {fileset: dict(own) for fileset, own in files.items()}
        self.faults: dict[str, list[Fault] | Fault] = defaultdict(list)
        self.requests: list[Request] = []
        self.checksums = self.digests = False
        self.ranges = self.sizes = self.tags = True
        self.private: str | None = None
        self.extra_products: list[dict] = []
        self.lock = Lock()
        handler = type("Handler", (_Handler,), {"standin": self})
        self.http = _Server(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def body(self, name: str) -> bytes:
        return next(own[name] for own in self.files.values() if name in own)

    def asked(self, what: str | None = None) -> list[Request]:
        """Requests for a file; with no name, for any file."""
        kinds = ("search", "products", "columns")
        return [r for r in self.requests if (r.what == what if what else r.what not in kinds)]

    def fault(self, what: str) -> Fault | None:
        with self.lock:
            waiting = self.faults[what]
            if isinstance(waiting, Fault):
                return waiting
            return waiting.pop(0) if waiting else None

    def search(self, question: dict) -> dict:
        """Rows that meet the conditions, in the form of the real service."""
        rows = []
        for fileset, (exp_type, elements, _) in EXPOSURES.items():
            if fileset not in self.files:
                continue
            observation = re.search(r"jw\d{5}-?o?(\d{3})", fileset)[1]
            level = "1b" if fileset[7] != "-" else "3"
            values = (fileset, level, exp_type, elements, str(PROGRAM), str(int(observation)), "PUBLIC")
            row = dict(zip(COLUMNS, values, strict=True))
            if all(str(row[k]) in str(v).split(",") for c in question["conditions"] for k, v in c.items()):
                rows.append(row)
        first = question.get("offset", 0)
        info = [{"name": c, "type": "VARCHAR"} for c in COLUMNS]
        return {"info": info, "results": rows[first : first + question["limit"]], "totalResults": len(rows)}

    def products(self, filesets: list[str]) -> dict:
        rows = []
        for fileset in filesets:
            for name, body in self.files[fileset].items():
                row = {"filename": name, "uri": f"{fileset}/{name}", "dataset": fileset, "access": "PUBLIC"}
                row |= {"size": len(body) if self.sizes else None, "file_suffix": "_" + name[:-5].split("_")[-1]}
                if self.checksums:
                    row["md5"] = hashlib.md5(body).hexdigest()
                rows.append(row)
        return {"products": rows + self.extra_products}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    standin: StandIn

    def log_message(self, *args) -> None:
        pass

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        if path == SEARCH:
            self._answer("search", lambda: self.standin.search(question))
        elif path == PRODUCTS:
            self._answer("products", lambda: self.standin.products(question["dataset_ids"]))
        else:
            self._send(404, b"")

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == COLUMN_LIST:
            form = {"qual_type": "string", "description": ""}
            self._answer("columns", lambda: [{"column_name": c} | form for c in COLUMNS])
        elif parts.path == RETRIEVE:
            self._file(parse_qs(parts.query)["product_name"][0])
        else:
            self._send(404, b"")

    def _note(self, what: str) -> Request:
        get = self.headers.get
        request = Request(what, get("Range", ""), get("If-Range", ""), get("Authorization", ""))
        self.standin.requests.append(request)
        return request

    def _answer(self, what: str, make) -> None:
        self._note(what)
        fault = self.standin.fault(what)
        if fault and fault.kind == "status":
            self._send(fault.status, b"{}", fault.headers)
        elif fault and fault.kind == "page":
            self._send(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
        elif fault and fault.kind == "reset":
            self._reset()
        else:
            self._send(200, json.dumps(make()).encode(), {"Content-Type": "application/json"})

    def _file(self, uri: str) -> None:
        name, standin = uri.rpartition("/")[2], self.standin
        request, fault = self._note(name), standin.fault(name)
        if fault and fault.kind in ("status", "redirect"):
            request.status = fault.status
            return self._send(fault.status, b"no", fault.headers)
        if standin.private and request.token != f"token {standin.private}":
            request.status = 401
            return self._send(401, b"no")
        body = standin.body(name)
        tag = f'"{hashlib.md5(body).hexdigest()}"' if standin.tags else ""
        headers = {"Content-Type": "application/fits"} | ({"ETag": tag} if tag else {"Last-Modified": DATE})
        if standin.digests:
            headers["Digest"] = "sha-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
        first, status = 0, 200
        if request.range and standin.ranges and request.if_range in ("", tag or DATE):
            first, status = int(re.fullmatch(r"bytes=(\d+)-", request.range)[1]), 206
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        request.status = status
        return self._body(status, body[first:], headers, fault)

    def _body(self, status: int, body: bytes, headers: dict, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "flip":
            body = body[:-5000] + bytes([body[-5000] ^ 1]) + body[-4999:]
        if kind == "short":
            body = body[: fault.at]
        promised = len(body)
        if kind == "excess":
            promised = None
            body = body + b"more" * 1000
        if kind in ("truncate", "reset"):
            body = body[: fault.at]
        try:
            if kind == "slow":
                self._send(status, body[: fault.at], headers, promised)
                time.sleep(30)
                return
            self._send(status, body, headers, promised)
            if kind == "reset":
                self._reset()
        except OSError:
            pass
        if kind in ("truncate", "reset", "excess"):
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict | None = None, promised: int | None = -1) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if promised is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body) if promised < 0 else promised))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _reset(self) -> None:
        """Let what was sent arrive, then break the connection with a TCP reset."""
        time.sleep(0.05)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextmanager
def serving(files: dict[str, dict[str, bytes]]):
    """Run a stand-in."""
    standin = StandIn(files)
    thread = Thread(target=standin.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        standin.http.shutdown()
        standin.http.server_close()
