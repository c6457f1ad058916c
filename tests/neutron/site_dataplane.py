"""A site whose data plane is tested: its start, and what is asked of it again and again."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.neutron.site_server import Server, Site

from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases, missing_programs

KEY = 0xFFF010


@contextlib.contextmanager
def running_site() -> Iterator[Site]:
    skip_without(missing_programs())
    folder = Path(tempfile.mkdtemp(prefix="isthmus-site-"))
    with OvnDatabases(folder / "ovn") as ovn:
        made = Site(folder, ovn)
        try:
            yield made
        finally:
            made.close()
    shutil.rmtree(folder)


def uuid(number: int) -> str:
    return f"44444444-4444-4444-4444-{number:012d}"


def make_network(api: Server, number: int, first: int = 1, last: int = 100) -> str:
    network_id = uuid(number)
    api("stretch", network_id=network_id, datapath_key=KEY + number, first=first, last=last)
    api("create", kind="network", body={"id": network_id, "name": f"net{number}"})
    return network_id


def shadow(number: int, network_id: str, **changes: Any) -> dict[str, Any]:
    state = {
        "port_id": f"55555555-5555-5555-5555-{number:012d}",
        "network_id": network_id,
        "site": "site2",
        "chassis": "hv-b",
        "hostname": "host-b",
        "encap_ip": "192.0.2.2",
        "port_key": 1000 + number,
        "mac_address": f"fa:16:02:00:00:{number:02x}",
        "addresses": [f"10.0.0.{number}"],
        "extra_macs": [],
        "answered": True,
        "enabled": True,
        "accepts_unknown": False,
        "security_groups": [],
        **changes,
    }
    return {"type": "shadow", "id": state["port_id"], "state": state}


def gone(number: int) -> dict[str, Any]:
    return {"type": "shadow", "id": f"55555555-5555-5555-5555-{number:012d}", "state": None}


def lsp(site: Site, port_id: str, column: str) -> str:
    return site.ovn.nbctl("--bare", f"--columns={column}", "list", "Logical_Switch_Port", port_id)


def codes(results: list[dict[str, str]]) -> list[str]:
    return [result["code"] for result in results]
