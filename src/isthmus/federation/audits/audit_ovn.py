"""The part of the audit that looks at data planes: shadows, keys, OVN rows. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from isthmus.federation.audits.audit_binding import check_bindings
from isthmus.federation.audits.audit_lost import check_lost
from isthmus.federation.audits.holdings import Holdings, Row, by
from isthmus.federation.audits.remedy import GOES, LOST, REPORTED, SENT, say_deletions
from isthmus.federation.dhcp import list_unanswered
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.model.verdict import Severity, Subject, Verdict

_WRITTEN = (
    "`isthmus site resync {}` has it put right now; if it stays, see the log of the site's Neutron."
)
#: For a row that contradicts the tables of a site whose database was restored.
_WAITS = "Leave it: it waits until the site has recovered; isthmus status says what for."
#: For a switch port without a port of Neutron's: that of a server which runs while its restored
#: site has yet to register; and one that no tier knows.
_LEFT = "Leave it: central has the port, and the site makes it again once it has registered."
_UNKNOWN = "Once nothing runs on it, at the site: ovn-nbctl lsp-del {}"
_MAINTENANCE = (
    "`isthmus site resync {}` tells Neutron now, which writes it within five minutes; if it stays, "
    "see the log of the site's neutron-ovn-maintenance-worker, which has to run."
)
_FLOATING = "network:floatingip"
#: Type of the port by which a switch is on a physical network.
_FABRIC = "localnet"

_AWAY_AND_BACK = (
    "The key of a network never changes in place. Delete the ports that {1} has on it, then "
    "`isthmus network withdraw {0} {1} --wait 60` and `isthmus network extend {0} {1} --wait 60`."
)


def check_site(central: Holdings, site: Holdings) -> Iterator[Verdict]:
    """Compare what central knows of locations and keys with a site's tables and OVN rows."""
    busy = bool(central.backlog.get(site.name, 0) + site.backlog.get(CENTRAL, 0))
    yield from _check_keys(central, site)
    if not site.ovn.get("unseen"):
        yield from _check_rows(central, site)
        yield from check_lost(site)
    yield from check_bindings(site)
    yield from _check_shadows(central, site, busy)
    yield from _check_locations(central, site, busy)


def _check_keys(central: Holdings, site: Holdings) -> Iterator[Verdict]:
    """Datapath keys are the same everywhere; port keys come from the site's leases."""
    for network_id, key in sorted(site.datapaths.items()):
        wanted = central.datapaths.get(network_id)
        if wanted != key:
            yield _broken(
                site,
                "network",
                network_id,
                "network.datapath_key",
                "datapath key different",
                f"central {wanted}, here {key}",
                _AWAY_AND_BACK.format(network_id, site.name),
            )
    blocks: dict[str, list[tuple[int, int]]] = {}
    for lease in central.leases:
        if lease.kind is PoolKind.PORT_KEY and lease.site == site.name:
            block = (lease.block.first, lease.block.last)
            blocks.setdefault(lease.pool_id, []).append(block)
    for row in site.ovn.get("port_keys", ()):
        held = blocks.get(row["network_id"], [])
        if not any(first <= row["key"] <= last for first, last in held):
            yield _broken(
                site,
                "port",
                row["port_id"],
                "port.key_not_leased",
                "port key outside the site's leases",
                f"key {row['key']} of network {row['network_id']}, leases {held}",
                f"Delete the port and make it again: `openstack port delete {row['port_id']}`.",
            )


def check_key_holders(central: Holdings, sites: Mapping[SiteName, Holdings]) -> Iterator[Verdict]:
    """No two ports of a network have the same key, in whichever sites they are."""
    holders: dict[tuple[str, int], list[tuple[SiteName, str]]] = {}
    for site in sites.values():
        for row in site.ovn.get("port_keys", ()):
            where = (str(row["network_id"]), int(row["key"]))
            holders.setdefault(where, []).append((site.name, str(row["port_id"])))
    for (network_id, key), ports in sorted(holders.items()):
        if len({port for _, port in ports}) > 1:
            yield Verdict(
                code="port.key_twice",
                severity=Severity.BROKEN,
                subject=Subject(
                    sorted(port for _, port in ports)[0],
                    "port",
                    ", ".join(sorted({site for site, _ in ports})),
                ),
                message="port key given twice",
                evidence=f"key {key} of network {network_id} is that of "
                + ", ".join(f"{port} ({site})" for site, port in sorted(ports)),
                remedy="Delete one of the ports and make it again: "
                + say_deletions(central.ports, {port: site for site, port in ports})
                + ".",
            )


def _check_rows(central: Holdings, site: Holdings) -> Iterator[Verdict]:
    """OVN has what Neutron and the site's tables say, and northd has given the keys asked for."""
    for row in site.ovn.get("drift", ()):
        remedy = _WAITS if row.get("waits") else _WRITTEN.format(site.name)
        without = f"; without it, {row['without']}" if row.get("without") else ""
        evidence = f"OVN needs: {row['change']}{without}"
        yield _broken(site, "ovn", row["id"], row["code"], row["what"], evidence, remedy)
    switches = by(site.ovn.get("switches", ()), "network_id")
    for network_id in sorted(site.datapaths.keys() & site.networks.keys()):
        switch = switches.get(network_id)
        if switch is None:
            yield _broken(
                site,
                "network",
                network_id,
                "network.no_switch",
                "network without a logical switch",
                "Neutron has it, OVN does not",
                _MAINTENANCE.format(site.name),
            )
        elif switch["key"] != switch["requested_key"]:
            yield _key_not_leased(site, "network", network_id, switch)
    ports = by(site.ovn.get("ports", ()), "id")
    for port_id, row in sorted({**ports, **by(site.ovn.get("shadows", ()), "id")}.items()):
        if row["requested_key"] is not None and row["key"] != row["requested_key"]:
            yield _key_not_leased(site, "port", port_id, row)
    yield from _check_neutron_ports(central, site, ports, switches.keys())
    lost: dict[str, list[str]] = {}
    for row in site.ovn.get("lost_rules", ()):
        lost.setdefault(row["security_group_id"], []).append(row["id"])
    for group_id, rules in sorted(lost.items()):
        yield _broken(
            site,
            "security_group",
            group_id,
            "security_group.no_acl",
            "security group with rules that OVN lacks",
            f"Neutron has them, OVN has no ACL of them: {', '.join(sorted(rules))}",
            _MAINTENANCE.format(site.name),
        )


def _check_neutron_ports(
    central: Holdings, site: Holdings, rows: Mapping[str, Row], switches: Iterable[str]
) -> Iterator[Verdict]:
    responders = {one["port_id"] for one in site.ovn.get("responders", ())}
    wanted = {
        port_id: port
        for port_id, port in site.ports.items()
        if port["network_id"] in set(switches) and port["device_owner"] != _FLOATING
    }
    for port_id in sorted(wanted.keys() - rows.keys()):
        yield _broken(
            site,
            "port",
            port_id,
            "port.no_switch_port",
            "port without a logical switch port",
            "Neutron has it, OVN does not",
            _MAINTENANCE.format(site.name),
        )
    on_fabric = {
        row["network_id"]: port_id
        for port_id, row in rows.items()
        if row["type"] == _FABRIC and _has_fabric(site, row["network_id"])
    }
    for network_id in sorted(set(switches) & site.networks.keys() - on_fabric.keys()):
        if _has_fabric(site, network_id):
            yield _broken(
                site,
                "network",
                network_id,
                "network.not_on_fabric",
                "network without a port to its physical network",
                f"Neutron has it on {site.networks[network_id]['provider:physical_network']}, "
                "OVN's switch has no localnet port",
                LOST.format(site.name),
            )
    known = wanted.keys() | responders | set(on_fabric.values())
    for port_id in sorted(rows.keys() - known):
        yield _broken(
            site,
            "port",
            port_id,
            "port.unknown_switch_port",
            "logical switch port that Neutron does not know",
            _describe(site, rows[port_id]),
            _LEFT if port_id in central.ports else _UNKNOWN.format(port_id),
        )
    for port_id in sorted(wanted.keys() & rows.keys()):
        addresses = " ".join(rows[port_id]["addresses"]).split()
        missing = [one for one in _addresses(wanted[port_id]) if one not in addresses]
        if rows[port_id]["type"] == "" and addresses != ["unknown"] and missing:
            yield _broken(
                site,
                "port",
                port_id,
                "port.switch_port_addresses",
                "logical switch port with other addresses",
                f"Neutron has {', '.join(missing)}, OVN {rows[port_id]['addresses']}",
                _MAINTENANCE.format(site.name),
            )
        there = rows[port_id].get("dhcp")  # an older site does not say
        subnets = site.objects[ResourceType.SUBNET]
        if rows[port_id]["type"] == "" and there is not None:
            unanswered = list_unanswered(wanted[port_id], subnets, there)
            if unanswered:
                yield _broken(
                    site,
                    "port",
                    port_id,
                    "port.no_dhcp",
                    "logical switch port without DHCP options",
                    "its subnet has DHCP, OVN's row has no options for "
                    + " and ".join(f"IPv{one}" for one in unanswered),
                    _MAINTENANCE.format(site.name),
                )


def _describe(site: Holdings, row: Row) -> str:
    """Describe a switch port, so that a person finds what is behind it."""
    hosts = {one["name"]: one["hostname"] for one in site.ovn.get("chassis", ())}
    addresses = " ".join(row["addresses"]) or "no addresses"
    chassis = row.get("chassis")
    where = f"on {hosts.get(chassis, chassis)}" if chassis else "on no hypervisor"
    kind = f"type {row['type']!r}, " if row["type"] else ""
    return f"{kind}{addresses}, {where}, network {row['network_id']}"


def _has_fabric(site: Holdings, network_id: str) -> bool:
    return bool(site.networks.get(network_id, {}).get("provider:physical_network"))


def _check_shadows(central: Holdings, site: Holdings, busy: bool) -> Iterator[Verdict]:
    """Every port that lives elsewhere on a network that is here has its shadow here."""
    present = {
        network_id
        for kind, network_id, name in central.mappings
        if kind == "network" and name == site.name
    }
    wanted = {
        port_id: location
        for port_id, location in central.locations.items()
        if location["network_id"] in present and location["site"] != site.name
    }
    full = _full_networks(site)
    severity = Severity.DEGRADED if busy else Severity.BROKEN
    for port_id in sorted(wanted.keys() - site.shadows.keys()):
        network_id = wanted[port_id]["network_id"]
        refused = network_id in full
        yield Verdict(
            code="shadow.refused" if refused else "shadow.missing",
            severity=Severity.BROKEN if refused else severity,
            subject=Subject(port_id, "shadow", site.name),
            message="shadow port refused" if refused else "shadow port missing",
            evidence=f"network {network_id} has {full[network_id]} shadow ports, the most that "
            f"OVN {site.ovn.get('version')} holds"
            if refused
            else f"it lives at {wanted[port_id]['site']}",
            remedy="Upgrade OVN at the site to 24.03 or newer."
            if refused
            else SENT.format(site.name),
        )
    for port_id in sorted(site.shadows.keys() - wanted.keys()):
        yield Verdict(
            code="shadow.extra",
            severity=severity,
            subject=Subject(port_id, "shadow", site.name),
            message="shadow port of nothing",
            evidence=f"central knows no location of it outside {site.name}",
            remedy=GOES.format(site.name),
        )
    for port_id in sorted(wanted.keys() & site.shadows.keys()):
        differing = _differences(site.shadows[port_id], wanted[port_id], central.ports.get(port_id))
        if differing:
            yield Verdict(
                code="shadow.different",
                severity=severity,
                subject=Subject(port_id, "shadow", site.name),
                message="shadow port different",
                evidence="; ".join(differing),
                remedy=SENT.format(site.name),
            )


def _full_networks(site: Holdings) -> dict[str, int]:
    limit = site.ovn.get("shadow_limit")
    counts: dict[str, int] = {}
    for shadow in site.shadows.values():
        counts[shadow.network_id] = counts.get(shadow.network_id, 0) + 1
    return {
        network_id: number
        for network_id, number in counts.items()
        if limit is not None and number >= limit
    }


def _differences(shadow: Shadow, location: Row, port: Row | None) -> Sequence[str]:
    found = [
        f"{name}: central {location[name]!r}, here {getattr(shadow, name)!r}"
        for name in ("network_id", "site", "chassis", "hostname", "encap_ip", "port_key")
        if location[name] != getattr(shadow, name)
    ]
    if port is None:
        return found
    if port["mac_address"] != shadow.mac_address:
        found.append(f"mac_address: central {port['mac_address']}, here {shadow.mac_address}")
    addresses = {one["ip_address"] for one in port["fixed_ips"]}
    if not addresses <= set(shadow.addresses):
        found.append(f"addresses: central {sorted(addresses)}, here {list(shadow.addresses)}")
    if set(port["security_groups"]) != set(shadow.security_groups):
        found.append(
            f"security_groups: central {sorted(port['security_groups'])}, "
            f"here {sorted(shadow.security_groups)}"
        )
    return found


def _check_locations(central: Holdings, site: Holdings, busy: bool) -> Iterator[Verdict]:
    """What central believes of a site's ports is what the site's own OVN says."""
    rows = by(site.ovn.get("ports", ()), "id")
    severity = Severity.DEGRADED if busy else Severity.BROKEN
    encaps = {one["name"]: one["encap_ips"] for one in site.ovn.get("chassis", ())}
    for port_id, location in sorted(central.locations.items()):
        row = rows.get(port_id)
        if location["site"] != site.name or row is None:
            continue
        actual = {
            "port_key": row["requested_key"],
            "chassis": row["chassis"] or location["chassis"],
            "encap_ip": (encaps.get(location["chassis"]) or [""])[0],
        }
        differing = [
            f"{name}: central {location[name]!r}, here {value!r}"
            for name, value in actual.items()
            if location[name] != value
        ]
        if differing:
            yield _misplaced(site, port_id, severity, "different", "; ".join(differing))
    homes = {
        port_id for kind, port_id, name in central.mappings if (kind, name) == ("port", site.name)
    }
    for port_id in sorted(homes & rows.keys() & site.ports.keys() - central.locations.keys()):
        chassis = rows[port_id]["chassis"]
        if chassis and rows[port_id]["type"] == "":
            heard = f"it is on {chassis}, which central has not heard: no other site reaches it"
            yield _misplaced(site, port_id, severity, "unknown", heard)


def _misplaced(
    site: Holdings, port_id: str, severity: Severity, how: str, evidence: str
) -> Verdict:
    return Verdict(
        code="port.location",
        severity=severity,
        subject=Subject(port_id, "port", site.name),
        message=f"port's location {how}",
        evidence=evidence,
        remedy=REPORTED.format(site.name),
    )


def _addresses(port: Row) -> Iterator[str]:
    yield str(port["mac_address"])
    for one in port["fixed_ips"]:
        yield str(one["ip_address"])


def _key_not_leased(site: Holdings, kind: str, row_id: str, row: Row) -> Verdict:
    return _broken(
        site,
        kind,
        row_id,
        "ovn.key_not_granted",
        "key not leased",
        f"asked for {row['requested_key']}, northd gave {row['key']}",
        "Another row asks for the same key: see the log of ovn-northd.",
    )


def _broken(
    site: Holdings, kind: str, row_id: str, code: str, message: str, evidence: str, remedy: str
) -> Verdict:
    return Verdict(
        code=code,
        severity=Severity.BROKEN,
        subject=Subject(row_id, kind, site.name),
        message=message,
        evidence=evidence,
        remedy=remedy,
    )
