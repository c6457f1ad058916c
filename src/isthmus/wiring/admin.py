"""What the operators' commands call: central's Admin API, and sums over it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from isthmus import errors
from isthmus.clients.admin import AdminApi
from isthmus.clients.cloud import PersonalCloud
from isthmus.clients.neutron import NeutronDoor
from isthmus.model.lease import PoolKind
from isthmus.model.site import CENTRAL

Row = Mapping[str, Any]

#: Whose name begins so was a site: `isthmus.store.registration.aside`.
_GONE = "gone/"
#: What `isthmus port show` looks at.
_PORT_FIELDS = ("id", "mac_address", "fixed_ips", "status", "binding:host_id")


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """How one site stands, in the words of the API."""

    name: str
    state: str
    reachability: str
    last_seen_at: str | None
    backlog: int
    parked: int
    waits_for: str  #: why it, or central because of it, gives out no address now
    oldest: int | None  #: age of the oldest unparked job, in seconds
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What a site that was removed has not let go of."""

    incarnation: str  #: gone/ID, with the id of the site as it was
    leases: int
    addresses: int
    port_keys: int
    ports: int  #: that are at home there, as far as central knows


@dataclass(frozen=True, slots=True)
class PortView:
    """What one tier knows of a port."""

    tier: str
    known_as: str  #: "port", "shadow", "nothing", or "" where the tier did not answer
    mac_address: str = ""
    addresses: tuple[str, ...] = ()
    status: str = ""
    host: str = ""
    port_key: int | None = None  #: of a shadow
    agrees: bool | None = None  #: with central on MAC and fixed IPs; None where nothing is known
    error: str = ""  #: why the tier did not answer


class Admin:
    """Central, as an operator sees it."""

    def __init__(self, cloud_name: str) -> None:
        """Read the entry of clouds.yaml; nothing is called yet.

        Raises:
            Invalid: there is no such entry.
        """
        self._cloud = PersonalCloud(cloud_name)
        self.api = AdminApi(self.open_central())

    def open_central(self) -> NeutronDoor:
        """Open central's door."""
        return self._cloud.open_door(name=CENTRAL)

    def open_site(self, name: str, region: str) -> NeutronDoor:
        """Open a site's door, with the person's own token."""
        return self._cloud.open_door(name=name, region=region)

    def collect_status(self) -> list[SiteStatus]:
        """Read how every site stands."""
        return [self._status(row) for row in self.api.list("site", sort_key="name", sort_dir="asc")]

    def _status(self, site: Row) -> SiteStatus:
        oldest = None
        if site["backlog"]:
            jobs = self.api.iterate(
                "site_job",
                page_size=1,
                site=site["name"],
                state=["waiting", "running"],
                sort_key="created_at",
                sort_dir="asc",
            )
            oldest = next((int(job["age"]) for job in jobs), None)
        return SiteStatus(
            name=site["name"],
            state=site["state"],
            reachability=site["reachability"],
            last_seen_at=site["last_seen_at"],
            backlog=site["backlog"],
            parked=site["parked"],
            waits_for=site.get("waits_for") or "",
            oldest=oldest,
            last_error=site["last_error"] or "",
        )

    def delete_site(self, name: str) -> Gone | None:
        """Remove a site; gives what it has not let go of.

        Raises:
            NotFound: there is none.
            InUse: it holds objects and is not disabled.
        """
        row = self.api.get("site", name)
        self.api.delete("site", row["id"])
        return self._find_gone(f"{_GONE}{row['id']}")

    def list_gone(self) -> list[Gone]:
        """List what removed sites have not let go of."""
        names = {row["site"] for row in self.api.iterate("site_lease")}
        names |= {row["site"] for row in self.api.iterate("site_routing", type="port")}
        found = (self._find_gone(one) for one in sorted(names) if one.startswith(_GONE))
        return [one for one in found if one is not None]

    def get_gone(self, incarnation: str) -> Gone:
        """Get what one incarnation of a removed site has not let go of.

        Raises:
            NotFound: it holds nothing.
        """
        name = incarnation if incarnation.startswith(_GONE) else f"{_GONE}{incarnation}"
        found = self._find_gone(name)
        if found is None:
            raise errors.NotFound(f"no removed site {name} holds anything: see isthmus gone list")
        return found

    def free_gone(self, incarnation: str) -> None:
        """Free for good what one incarnation of a removed site held."""
        for lease in self.api.iterate("site_lease", page_size=1, site=incarnation):
            self.api.act("site_lease", lease["id"], "free_for_good", {"all": True})
            return
        for home in self.api.list("site_routing", type="port", site=incarnation):
            self.api.act("site_routing", home["id"], "release", {"force": True})

    def _find_gone(self, name: str) -> Gone | None:
        leases = self.api.list("site_lease", site=name)
        ports = self.api.list("site_routing", type="port", site=name)
        if not leases and not ports:
            return None
        sizes = dict.fromkeys(PoolKind, 0)
        for one in leases:
            sizes[PoolKind(one["kind"])] += int(one["size"])
        return Gone(
            incarnation=name,
            leases=len(leases),
            addresses=sizes[PoolKind.SUBNET],
            port_keys=sizes[PoolKind.PORT_KEY],
            ports=len(ports),
        )

    def list_presences(self, *, network: str | None = None, site: str | None = None) -> list[Row]:
        """List where networks are present.

        Args:
            network: id or name of one.
            site: name of one.

        Raises:
            NotFound: there is no such network.
        """
        network_id = self.api.get_named("network", network)["id"] if network else None
        return self.api.list("site_presence", network_id=network_id, site=site)

    def get_network(self, network: str) -> dict[str, Any]:
        """Get a network with what Isthmus keeps of it.

        Raises:
            NotFound: there is none.
        """
        found = self.api.get_named("network", network)
        presences = self.api.list("site_presence", network_id=found["id"])
        pools = [found["id"], *found.get("subnets", [])]
        return {
            "id": found["id"],
            "name": found["name"],
            "project_id": found["project_id"],
            "status": found["status"],
            "mtu": found.get("mtu"),
            "datapath_key": presences[0]["datapath_key"] if presences else None,
            "sites": [row["site"] for row in presences if not row["withdrawn"]],
            "withdrawing": [row["site"] for row in presences if row["withdrawn"]],
            "subnets": found.get("subnets", []),
            "leases": self.api.list("site_lease", pool_id=pools),
        }

    def release_port(self, port: str, *, force: bool) -> str:
        """Have the home of a port let go of it.

        Args:
            port: id or name, as central knows it.
            force: forget the home at once.

        Returns:
            The home.

        Raises:
            NotFound: there is no such port, or it lives nowhere.
            Conflict: it is in use there, or that site cannot be heard, and no force is used.
        """
        wanted = self.api.get_named("port", port, fields=["id"])
        rows = self.api.list("site_routing", type="port", resource_id=wanted["id"])
        if not rows:
            raise errors.NotFound(
                f"port {wanted['id']} lives nowhere: the first site to use it has it"
            )
        self.api.act("site_routing", rows[0]["id"], "release", {"force": force})
        return str(rows[0]["site"])

    def collect_port(self, port: str) -> list[PortView]:
        """Read what central, and every site where its network is present, know of a port.

        A site is not asked for the port by its id, since it would show what central knows of one
        that it does not have.

        Args:
            port: id or name, as central knows it.

        Raises:
            NotFound: there is no such port.
        """
        wanted = self.api.get_named("port", port)
        central, network_id = _view_port(CENTRAL, wanted), wanted["network_id"]
        presences = self.api.list("site_presence", network_id=network_id)
        present = {row["site"] for row in presences}
        sites = self.api.list("site", sort_key="name", sort_dir="asc")
        doors = {
            row["name"]: self.open_site(row["name"], row["region"])
            for row in sites
            if row["name"] in present
        }
        with ThreadPoolExecutor(max_workers=len(doors) + 1) as threads:  # who hangs delays no other
            views = threads.map(
                lambda name: _look(name, doors[name], wanted["id"], network_id), doors
            )
            return [replace(one, agrees=_agrees(one, central)) for one in (central, *views)]

    def extend_network(self, network: str, sites: Sequence[str]) -> list[Row]:
        """Place a network at sites ahead of use."""
        network_id = self.api.get_named("network", network)["id"]
        return [
            self.api.create("site_presence", {"network_id": network_id, "site": site})
            for site in sites
        ]

    def withdraw_network(self, network: str, site: str) -> None:
        """Take a network away from a site.

        Raises:
            NotFound: it is not there.
            InUse: ports of it live there.
        """
        rows = self.list_presences(network=network, site=site)
        if not rows:
            raise errors.NotFound(f"network {network!r} is not present at site {site!r}")
        self.api.delete("site_presence", rows[0]["id"])

    def list_leases(
        self, *, pool: str | None = None, site: str | None = None, kind: str | None = None
    ) -> list[Row]:
        """List leases; `pool` is the id or the name of a subnet or of a network.

        Raises:
            NotFound: there is no such pool.
        """
        pool_id = None
        if pool:
            try:
                pool_id = self.api.get_named("subnet", pool)["id"]
            except errors.NotFound:
                pool_id = self.api.get_named("network", pool)["id"]
        return self.api.list("site_lease", pool_id=pool_id, site=site, kind=kind)


def _look(site: str, door: NeutronDoor, port_id: str, network_id: str) -> PortView:
    api = AdminApi(door)
    try:
        for port in api.iterate("port", network_id=network_id, fields=_PORT_FIELDS):
            if port["id"] == port_id:
                return _view_port(site, port)
        shadows = api.list("site_shadow", id=port_id)
    except errors.IsthmusError as error:
        return PortView(site, "", error=error.message)
    for shadow in shadows:
        return PortView(
            site,
            "shadow",
            mac_address=shadow["mac_address"],
            addresses=tuple(shadow["addresses"]),
            host=f"{shadow['site']}/{shadow['hostname']}",
            port_key=shadow["port_key"],
        )
    return PortView(site, "nothing")


def _view_port(tier: str, port: Row) -> PortView:
    return PortView(
        tier,
        "port",
        mac_address=port["mac_address"],
        addresses=tuple(sorted(one["ip_address"] for one in port["fixed_ips"])),
        status=port["status"],
        host=port.get("binding:host_id") or "",
    )


def _agrees(view: PortView, central: PortView) -> bool | None:
    """Compare with central; a shadow has the addresses of allowed address pairs besides."""
    if view.known_as not in ("port", "shadow"):
        return None
    same = view.mac_address == central.mac_address
    if view.known_as == "shadow":
        return same and set(central.addresses) <= set(view.addresses)
    return same and view.addresses == central.addresses
