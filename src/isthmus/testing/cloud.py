"""A small cloud on loopback: Keystone, central's Neutron and sites, as far as our clients go.

It speaks HTTP, so that processes (Xjob, the CLI) run against it unchanged. Central's lists are
plain dicts; `tests/neutron` holds the real API to the same attribute names.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from isthmus.model.item import Item, ItemResult, taken

CENTRAL = "central"
C = TypeVar("C", bound="Cloud")


@dataclass
class CloudSite:
    """One site's Neutron."""

    name: str
    held: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    batches: list[list[Item]] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    cut: bool = False  #: hangs up on everybody
    only: str = ""  #: who may ask; empty for everybody
    gate: threading.Event | None = None  #: an apply waits for it
    waiting: threading.Event = field(default_factory=threading.Event)  #: an apply has come
    refuse: Callable[[Item], ItemResult | None] = lambda _: None
    holdings: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  #: lists, by plural name

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a batch."""
        items = [Item.from_dict(one) for one in body["items"]]
        self.waiting.set()
        if self.gate is not None:
            self.gate.wait(300)
        self.batches.append(items)
        self.sequences.append(body["sequence"])
        return {"results": [self._take(item).to_dict() for item in items]}

    def _take(self, item: Item) -> ItemResult:
        refusal = self.refuse(item)
        if refusal is not None:
            return refusal
        if item.state is None:
            self.held.pop((item.type.value, item.id), None)
        else:
            self.held[item.type.value, item.id] = item.state
        return taken(item)


class Cloud(ThreadingHTTPServer):
    """All of it behind one port; a region is a path."""

    daemon_threads = True
    request_queue_size = 128  #: a busy test takes connections late, and must refuse none

    def __init__(self, *sites: str) -> None:
        """Listen on loopback.

        Args:
            sites: names of the sites; each is a region of the same name.
        """
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.sites = {name: CloudSite(name) for name in sites}
        self.wanted: dict[tuple[str, str, str], Mapping[str, Any]] = {}  #: (site, type, id)
        self.rows: dict[str, list[dict[str, Any]]] = {}  #: central's lists, by their plural name
        self.defaults: dict[str, Callable[[], dict[str, Any]]] = {}  #: by plural name
        self.calls: list[tuple[str, str, Any]] = []  #: (method, path with query, body)
        self.callers: set[tuple[str, str]] = set()  #: (tier, whose token came there)
        self.refusal: tuple[int, str] | None = None  #: central's answer to everything

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing of clients that went away."""

    def catalogue(self) -> list[dict[str, Any]]:
        """Return what Keystone tells of endpoints."""

        def service(kind: str, urls: Mapping[str, str]) -> dict[str, Any]:
            return {
                "type": kind,
                "name": kind,
                "id": kind,
                "endpoints": [
                    {
                        "id": f"{kind}-{region}-{interface}",
                        "interface": interface,
                        "region": region,
                        "region_id": region,
                        "url": url,
                    }
                    for region, url in urls.items()
                    for interface in ("public", "internal")
                ],
            }

        regions = (CENTRAL, *self.sites)
        return [
            service("identity", dict.fromkeys(regions, f"{self.url}/v3")),
            service("network", {region: f"{self.url}/{region}" for region in regions}),
        ]

    def answer(self, method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        """Answer a call: status and JSON.

        Args:
            method: such as GET.
            target: path and query.
            body: the JSON that came with it, or None.
            caller: the name of the user whose token came with it.
        """
        url = urlsplit(target)
        head, _, rest = url.path.strip("/").partition("/")
        if head == "v3":
            return self._keystone(method, rest)
        if not rest:
            links = [{"rel": "self", "href": f"{self.url}/{head}/v2.0/"}]
            return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}
        plural = rest.removeprefix("v2.0").strip("/")
        if head in self.sites and self.sites[head].only not in ("", caller):
            return 401, {"error": {"message": "The request you have made requires authentication."}}
        if head in self.sites:
            return self._site(self.sites[head], method, plural, parse_qs(url.query), body)
        return self._central(method, plural, parse_qs(url.query), body)

    def _keystone(self, method: str, path: str) -> tuple[int, Any]:
        if method == "POST" and path == "auth/tokens":
            return 201, {
                "token": {
                    "methods": ["password"],
                    "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "d"}},
                    "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "d"}},
                    "roles": [{"id": "r", "name": "admin"}],
                    "issued_at": "2026-01-01T00:00:00.000000Z",
                    "expires_at": "2099-01-01T00:00:00.000000Z",
                    "catalog": self.catalogue(),
                }
            }
        links = [{"rel": "self", "href": f"{self.url}/v3/"}]
        return 200, {"version": {"id": "v3.14", "status": "stable", "links": links}}

    def _site(
        self,
        site: CloudSite,
        method: str,
        plural: str,
        query: Mapping[str, list[str]],
        body: Any,
    ) -> tuple[int, Any]:
        if (method, plural) == ("POST", "site-applies"):
            return 201, {"site_apply": site.apply(body["site_apply"])}
        if (method, plural) == ("GET", "site-holdings"):
            return 200, {"site_holdings": _page([site.holdings], query)}
        if method == "GET" and plural in site.rows:
            return 200, {plural.replace("-", "_"): _page(site.rows[plural], query)}
        return 404, {"NeutronError": {"message": f"no {plural}", "type": "NotFound"}}

    def _central(
        self, method: str, path: str, query: Mapping[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        if self.refusal is not None:
            status, message = self.refusal
            return status, {"NeutronError": {"message": message, "type": "X", "detail": ""}}
        if (method, path) == ("POST", "site-desired-states"):
            asked = body["site_desired_state"]
            items = [
                {**key, "state": self.wanted.get((asked["site"], key["type"], key["id"]))}
                for key in asked["keys"]
            ]
            return 201, {"site_desired_state": {"items": items}}
        plural, _, row_id = path.partition("/")
        rows = self.rows.setdefault(plural, [])
        name = plural.replace("-", "_")
        if row_id:
            return self._row(method, rows, row_id, name[:-1], body)
        if method == "POST":
            made = {"id": str(uuid.uuid4()), **self.defaults.get(plural, dict)(), **body[name[:-1]]}
            rows.append(made)
            return 201, {name[:-1]: made}
        if len(query.get("sort_key", [])) != len(query.get("sort_dir", [])):
            text = "The number of sort_keys and sort_dirs must be same"
            return 400, {"NeutronError": {"message": text, "type": "HTTPBadRequest"}}
        return 200, {name: _page(rows, query)}

    def _row(
        self, method: str, rows: list[dict[str, Any]], row_id: str, singular: str, body: Any
    ) -> tuple[int, Any]:
        row_id, _, action = row_id.partition("/")
        found = next((row for row in rows if row_id in (row["id"], row.get("name"))), None)
        if found is None:
            text = f"{singular} {row_id} could not be found."
            return 404, {"NeutronError": {"message": text, "type": "NotFound", "detail": ""}}
        if method == "DELETE":
            rows.remove(found)
            return 204, None
        if action == "cancel":
            rows.remove(found)
        elif action == "retry":
            found["state"] = "waiting"
        elif action == "go_on_without":
            found["waits_for"] = ""
        elif action == "free_for_good":
            rows.remove(found)
        elif action == "remove_site":
            if body["holds"] != found["holds"]:
                text = f"site {found['name']} holds other than was shown"
                return 409, {"NeutronError": {"message": text, "type": "Conflict", "detail": ""}}
            rows.remove(found)
        elif method == "PUT" and not action:
            found.update(body[singular])
        return 200, {singular: found}


def _page(rows: list[dict[str, Any]], query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Filter by equality, cut as limit and marker say, show the fields; all as Neutron does."""
    kept = [
        row
        for row in rows
        if all(
            str(row[name]) in values
            for name, values in query.items()
            if name in row and name != "age"
        )
        and row.get("age", 0) >= int(query.get("age", ["0"])[0])
    ]
    marker = query.get("marker", [None])[0]
    if marker is not None:
        kept = kept[[row["id"] for row in kept].index(marker) + 1 :]
    limit = query.get("limit", [None])[0]
    kept = kept if limit is None else kept[: int(limit)]
    fields = query.get("fields")
    if fields is None:
        return kept
    return [{name: row[name] for name in fields if name in row} for row in kept]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cloud

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        site = self.server.sites.get(self.path.strip("/").split("/")[0])
        if site is not None and site.cut:
            self.close_connection = True
            return
        self.server.calls.append((self.command, self.path, body))
        # A token is the name of its user: this cloud trusts everybody.
        caller = self.headers.get("X-Auth-Token", "")
        if body is not None and self.path.endswith("/auth/tokens"):
            caller = body["auth"]["identity"]["password"]["user"]["name"]
        else:
            self.server.callers.add((self.path.strip("/").split("/")[0], caller))
        status, answer = self.server.answer(self.command, self.path, body, caller)
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Subject-Token", caller)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@contextmanager
def running_cloud(*sites: str) -> Iterator[Cloud]:
    """Run a cloud in a thread."""
    with running(Cloud(*sites)) as cloud:
        yield cloud


@contextmanager
def running(cloud: C) -> Iterator[C]:
    """Run a cloud that was made already."""
    thread = threading.Thread(target=cloud.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield cloud
    finally:
        cloud.shutdown()
        thread.join(10)
        cloud.server_close()
