"""Whether daemons still trust and understand each other: certificates, roles, versions, clocks."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    across_sites,
    at_a_site,
    degraded,
    on_a_host,
    verdict,
)
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Subject, Verdict

_HOST = (Need.SENDER_HOST,)
#: Days before its end from which a certificate is spoken of.
_SOON = 14
#: Seconds that clocks may be apart; answers take a part of it.
_APART_S = 10
#: Milliseconds that a hypervisor may seem to be done before it was asked.
_EARLY_MS = 2000


def _host(look: Look) -> Subject:
    return Subject(look.sender.host, "hypervisor", look.sender.site)


def check_certificates(look: Look) -> Iterator[Verdict]:
    """Yield a certificate of the hypervisor that is not valid any more, or soon not."""
    host = look.sender.host
    for row in look.world.rows(Source.HOST, host, "certificate"):
        days, path = int(row.get("days") or 0), row.get("path")
        ended = days < 0
        if days >= _SOON:
            continue
        yield verdict(
            "host.certificate_expired" if ended else "host.certificate_ends",
            Severity.DEGRADED if ended else Severity.ADVICE,
            Subject(str(path), "certificate", host),
            f"certificate {path} of {host} "
            + ("has expired: daemons there cannot connect to OVN anew" if ended
               else f"expires in {days} days"),
            look.evidence(Source.HOST, host, f"{path} is valid until {row.get('not_after')}"),
            f"on {host}: put a new certificate at {path}; ovs-vsctl get-ssl",
        )  # fmt: skip


def _said(look: Look, daemon: str, what: str) -> tuple[Row, int]:
    row: Row = look.world.find(Source.HOST, look.sender.host, "log", daemon=daemon, what=what) or {}
    return row, int(row.get("count") or 0)


def check_roles(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose writes the southbound database refuses by its roles."""
    host = look.sender.host
    row, count = _said(look, "ovn-controller", "rbac")
    if count:
        yield degraded(
            "host.rbac_refused",
            _host(look),
            f"OVN refuses what ovn-controller on {host} writes ({count} times in the last hour): "
            "ports are not set up there",
            look.evidence(Source.HOST, host, f"log of ovn-controller: {row.get('last')}"),
            f"see that the name in the certificate of {host} is its system-id: on {host}: "
            "ovs-vsctl get Open_vSwitch . external_ids:system-id",
        )


def check_version(look: Look) -> Iterator[Verdict]:
    """Yield an ovn-controller that waits until ovn-northd is of its version."""
    host, site = look.sender.host, look.sender.site
    settings: Mapping[str, Any] = next(iter(look.world.rows(Source.HOST, host, "Open_vSwitch")), {})
    waits = (settings.get("external_ids") or {}).get("ovn-match-northd-version")
    world: Mapping[str, Any] = next(iter(look.world.rows(Source.SB, site, "SB_Global")), {})
    northd = str((world.get("options") or {}).get("northd_internal_version") or "")
    row = look.world.find(Source.HOST, host, "daemon", name="ovn-controller") or {}
    own = str(row.get("version") or "")
    if str(waits).lower() == "true" and northd and own and not northd.startswith(f"{own}-"):
        yield degraded(
            "host.version_differs",
            _host(look),
            f"ovn-controller {own} on {host} takes over nothing while ovn-northd at site {site} is "
            f"of another version, {northd}: flows stay as they were",
            look.evidence(Source.SB, site, f"SB_Global options:northd_internal_version={northd}"),
            f"upgrade the older of the two; or on {host}: ovs-vsctl remove Open_vSwitch . "
            "external_ids ovn-match-northd-version",
        )


def check_servers(look: Look) -> Iterator[Verdict]:
    """Yield a database of the site whose server has lost the others of its cluster."""
    site = look.sender.site
    for source, name in ((Source.NB, "northbound"), (Source.SB, "southbound")):
        if not look.world.has(source, site):
            continue
        for row in look.world.rows(source, site, "server"):
            if row.get("model") == "clustered" and row.get("connected") is False:
                yield degraded(
                    "ovsdb.no_leader",
                    Subject(name, "database", site),
                    f"the server of OVN's {name} database at site {site} that was asked has no "
                    "leader: nothing can be written, and what it shows may be old",
                    look.evidence(source, site, "_Server Database connected=false"),
                    f"ovs-appctl -t /var/run/ovn/ovn{source.name.lower()}_db.ctl cluster/status "
                    f"OVN_{name.capitalize()}   # at site {site}",
                )


def check_clock(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that was done, by its clock, before it was asked."""
    site, end = look.sender.site, look.sender
    chassis = look.chassis_of(end) or {}
    world: Mapping[str, Any] = next(iter(look.world.rows(Source.NB, site, "NB_Global")), {})
    private = look.world.find(Source.SB, site, "Chassis_Private", name=chassis.get("name")) or {}
    asked, done = (int(one.get("nb_cfg_timestamp") or 0) for one in (world, private))
    same = world.get("nb_cfg") == private.get("nb_cfg")
    if same and asked and done and asked - done > _EARLY_MS:
        yield degraded(
            "clock.host",
            Subject(end.host, "hypervisor", site),
            f"the clock of hypervisor {end.host} is {(asked - done) / 1000:.0f} s or more behind "
            f"that of OVN at site {site}: logs cannot be compared, and certificates and tokens may "
            "not be valid",
            look.evidence(
                Source.SB, site,
                f"Chassis_Private nb_cfg_timestamp={done}, NB_Global nb_cfg_timestamp={asked}",
            ),
            f"on {end.host}: chronyc makestep; chronyc tracking",
        )  # fmt: skip


def check_sites(look: Look) -> Iterator[Verdict]:
    """Yield a site whose clock differs from central's."""
    site = look.sender.site
    there = look.world.rows(Source.NEUTRON, site, "clock")
    here = look.world.rows(Source.CENTRAL, CENTRAL, "clock")
    ahead = [int(row.get("ahead_s") or 0) for row in (*there, *here)]
    if len(ahead) == 2 and abs(ahead[0] - ahead[1]) > _APART_S:
        apart = ahead[0] - ahead[1]
        yield degraded(
            "clock.sites",
            Subject(site, "site", CENTRAL),
            f"the clock of site {site} is {abs(apart)} s {'ahead of' if apart > 0 else 'behind'} "
            "central's: tokens may not be valid there, and times in logs and in the journal "
            "cannot be compared",
            look.evidence(Source.NEUTRON, site, f"Date of its answers: {ahead[0]:+d} s from here, "
                          f"central's {ahead[1]:+d} s"),
            f"where the Neutron of {site} runs: chronyc makestep; chronyc tracking",
        )  # fmt: skip


CHECKS = (
    Check(name="servers of OVN's databases", hop=Hop.SENDER_SWITCH, run=check_servers,
          skips=at_a_site, vital=False),
    Check(name="version of ovn-northd", hop=Hop.SENDER_TAP, run=check_version, skips=on_a_host,
          needs=(*_HOST, Need.SENDER_SB), vital=False),
    Check(name="certificates", hop=Hop.SENDER_TAP, run=check_certificates, skips=on_a_host,
          needs=_HOST, vital=False),
    Check(name="roles in OVN", hop=Hop.SENDER_TAP, run=check_roles, skips=on_a_host, needs=_HOST,
          vital=False),
    Check(name="clock of the hypervisor", hop=Hop.SENDER_TAP, run=check_clock, skips=on_a_host,
          needs=(Need.SENDER_NB, Need.SENDER_SB), vital=False),
    Check(name="clocks of sites", hop=Hop.SHADOW, run=check_sites, skips=across_sites,
          needs=(Need.CENTRAL, Need.SENDER_NEUTRON), vital=False),
)  # fmt: skip
