"""Hypervisors of other sites: a Chassis row with one Geneve Encap row in SB."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, is_remote, read_local
from isthmus.dataplane.scope import CHASSIS, Scope
from isthmus.model.dataplane.ovn import (
    REMOTE_FLAG,
    SHADOW_MARK,
    SITE_MARK,
    Capability,
    LocalChassis,
)
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteChassis:
    """A hypervisor of another site."""

    name: str
    hostname: str  #: "<site>/<host>": Neutron must not take it for a host of its own
    encap_ip: str
    site: SiteName
    intact: bool = True  #: observed: flagged is-remote, exactly one Geneve encapsulation


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisors:
    """The Chassis rows in scope."""

    ours: Mapping[str, RemoteChassis]
    local: Mapping[str, LocalChassis]  #: everybody else's


@dataclass(frozen=True, slots=True)
class PutChassis(Change):
    """Write a remote hypervisor, whatever its rows were before."""

    phase: ClassVar = Phase.BEFORE
    code: ClassVar = "ovn.remote_chassis.differs"
    what: ClassVar = "chassis missing or different"
    about: ClassVar = CHASSIS
    row: RemoteChassis

    @property
    @override
    def subject(self) -> str:
        return self.row.name

    @override
    def adds(self, standing: Standing) -> bool:
        there = standing.of(REMOTE_CHASSIS).ours
        ends = standing.look_up(_list_encap_ips)
        return self.row.name not in there and self.row.encap_ip not in ends

    @override
    def __str__(self) -> str:
        return (
            f"put chassis {self.row.name} ({self.row.encap_ip}, host {self.row.hostname}) of site "
            f"{self.row.site}"
        )

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Chassis", self.row.name)
        if row is None:
            row = tables.insert("Chassis")
            row.name = self.row.name
        row.hostname = self.row.hostname
        row.external_ids = {SHADOW_MARK: "yes", SITE_MARK: self.row.site}
        row.other_config = {REMOTE_FLAG: "true"}
        encaps = [one for one in getattr(row, "encaps", []) if one.type == "geneve"][:1]
        encap = encaps[0] if encaps else tables.insert("Encap")
        encap.type = "geneve"
        encap.ip = self.row.encap_ip
        encap.chassis_name = self.row.name
        encap.options = {"csum": "true"}
        row.encaps = [encap]


@dataclass(frozen=True, slots=True)
class RemoveChassis(Change):
    """Remove a remote hypervisor, once no port stands on it."""

    phase: ClassVar = Phase.AFTER
    code: ClassVar = "ovn.remote_chassis.extra"
    what: ClassVar = "chassis too many"
    about: ClassVar = CHASSIS
    name: str

    @property
    @override
    def subject(self) -> str:
        return self.name

    @override
    def __str__(self) -> str:
        return f"remove chassis {self.name}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Chassis", self.name)
        if row is not None and SHADOW_MARK in row.external_ids:
            row.delete()


def render_chassis(shadows: Iterable[Shadow]) -> dict[str, RemoteChassis]:
    """Return the hypervisors that shadows stand on, by name."""
    return {
        shadow.chassis: RemoteChassis(
            name=shadow.chassis,
            hostname=f"{shadow.site}/{shadow.hostname}",
            encap_ip=shadow.encap_ip,
            site=shadow.site,
        )
        for shadow in shadows
    }


def render_gateways(
    hypervisors: Iterable[tuple[SiteName, Hypervisor]],
) -> dict[str, RemoteChassis]:
    """Return the hypervisors that have routers' gateways at other sites, by name."""
    return {
        one.chassis: RemoteChassis(
            name=one.chassis, hostname=f"{site}/{one.hostname}", encap_ip=one.encap_ip, site=site
        )
        for site, one in hypervisors
    }


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[str, RemoteChassis]:
    names = None if scope.whole else scope.ids(CHASSIS)
    shadows = source.shadows(None) if scope.whole else source.one_shadow_per_chassis(names)
    # What a shadow says is newer: it follows its port.
    return render_gateways(source.exit_hypervisors(names)) | render_chassis(shadows)


def _read(rows: OvnRows, scope: Scope) -> Hypervisors:
    names = scope.ids(CHASSIS)
    if names is None:
        found = rows.sb.rows("Chassis")
    else:
        found = (row for name in names if (row := rows.sb.find("Chassis", name)) is not None)
    ours, local = {}, {}
    for row in found:
        if SHADOW_MARK in row.external_ids:
            ours[row.name] = _read_row(row)
        else:
            local[row.name] = read_local(row)
    return Hypervisors(ours=ours, local=local)


def _read_row(row: Any) -> RemoteChassis:
    return RemoteChassis(
        name=row.name,
        hostname=row.hostname,
        encap_ip=row.encaps[0].ip if row.encaps else "",
        site=SiteName(row.external_ids.get(SITE_MARK, "")),
        intact=is_remote(row) and [encap.type for encap in row.encaps] == ["geneve"],
    )


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there = observed.of(REMOTE_CHASSIS)
    wanted = {
        name: row for name, row in desired.of(REMOTE_CHASSIS).items() if name not in there.local
    }
    for name, row in sorted(wanted.items()):
        if there.ours.get(name) != row:
            yield PutChassis(row)
    for name in sorted(there.ours):
        if name not in wanted:
            yield RemoveChassis(name)


def _list_encap_ips(observed: Observed) -> frozenset[str]:
    return frozenset(one.encap_ip for one in observed.of(REMOTE_CHASSIS).ours.values())


def _list_holdings(observed: Observed) -> Parts:
    there = observed.of(REMOTE_CHASSIS)
    local = [
        {"name": one.name, "hostname": one.hostname, "encap_ips": list(one.encap_ips), "site": ""}
        for _, one in sorted(there.local.items())
    ]
    remote = [
        {"name": one.name, "hostname": one.hostname, "encap_ips": [one.encap_ip], "site": one.site}
        for _, one in sorted(there.ours.items())
    ]
    return {"chassis": local + remote}


REMOTE_CHASSIS: Kind[dict[str, RemoteChassis], Hypervisors] = Kind(
    name="remote_chassis",
    without="there is no tunnel to the hypervisor",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
