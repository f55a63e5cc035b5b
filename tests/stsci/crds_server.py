"""A stand-in for the CRDS server: JSON-RPC and files over HTTP on the local machine, with faults to order."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATEST = "jwst_0001.pmap"


class StandIn:
    """What the server has, what it was asked for, and how it is to fail.

    Attributes
    ----------
    files : dict of str to bytes
        Mappings and references by name.
    asked : Counter
        Number of requests for each file, and for each JSON-RPC method.
    faults : dict of str to list of str
        For a file or method, what to do at each request: a status ("500"), "short" (half of the bytes, as if that were
        all), "broken" (half of the bytes that were announced), "wrong" (other bytes), "ok". The last one stays.
    hidden : set of str
        Files that are in the catalogue and answered with 404.
    """

    def __init__(self, files: dict[str, bytes], latest: str = LATEST, build: str | None = None) -> None:
        self.files, self.latest, self.build = files, latest, build
        self.asked: Counter[str] = Counter()
        self.faults: dict[str, list[str]] = {}
        self.hidden: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("localhost", 0), type("Handler", (_Handler,), {"stand_in": self}))
        self.url = f"http://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self, name: str) -> str:
        """Count a request and say how it is to fail."""
        with self._lock:
            self.asked[name] += 1
            orders = self.faults.get(name, [])
            if not orders:
                return "ok"
            return orders.pop(0) if len(orders) > 1 else orders[0]

    def files_asked(self) -> Counter[str]:
        return Counter({name: n for name, n in self.asked.items() if name in self.files})

    def call(self, method: str) -> object:
        """Answer of a JSON-RPC method; None for one that the server does not know."""
        if method == "get_server_info":
            place = {"jwst": f"{self.url}/files/"}
            return {
                "observatory": "jwst",
                "latest_context": self.latest,
                "operational_context": self.latest,
                "edit_context": self.latest,
                "bad_files": "",
                "bad_files_list": [],
                "crds_version": {"str": "14.0.0"},
                "force_remote_mode": False,
                "last_synced": "2026-01-01 00:00:00",
                "reference_url": {"unchecked": place},
                "mapping_url": {"unchecked": place},
                "config_url": {"unchecked": place},
                "pickle_url": {"unchecked": place},
                "download_metadata": {
                    name: {"size": str(len(data)), "sha1sum": hashlib.sha1(data).hexdigest()}
                    for name, data in self.files.items()
                },
            }
        if method == "get_default_context":
            return self.latest
        if method == "get_build_context":
            return self.build
        return None


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    def do_POST(self) -> None:
        method = self.path.split("/")[2]
        self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.stand_in.fault(method)
        if fault.isdigit():
            self.send_error(int(fault))
            return
        result = self.stand_in.call(method)
        error = {"message": f"no {method} here"} if result is None else None
        self._send(json.dumps({"jsonrpc": "1.0", "id": "1", "error": error, "result": result}).encode())

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        fault = self.stand_in.fault(name)
        if name in self.stand_in.hidden or name not in self.stand_in.files:
            fault = "404"
        if fault.isdigit():
            self.send_error(int(fault))
            return
        data = self.stand_in.files[name]
        half = data[: len(data) // 2]
        body = {"ok": data, "short": half, "broken": half, "wrong": data[::-1]}[fault]
        self._send(body, len(data) if fault == "broken" else len(body))

    def _send(self, body: bytes, promised: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""
