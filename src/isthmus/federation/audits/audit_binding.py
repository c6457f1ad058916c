"""The part of the audit that looks at where ports are bound: Neutron, and OVN below it. Pure."""

from collections.abc import Iterator, Mapping

from isthmus.federation.audits.holdings import Holdings, Row, by
from isthmus.model.verdict import Severity, Subject, Verdict

_HOST, _VIF_TYPE = "binding:host_id", "binding:vif_type"
_FAILED = "binding_failed"
#: Of ports that a hypervisor has plugged in, and OVN with them.
_PLUGGED = frozenset({"ovs", "vhostuser"})
_AGAIN = (
    "`isthmus port rebind {port}` binds it again; it fails as before where ovn-controller of "
    "{host} does not run: start that first."
)
_HERE = "`isthmus port rebind {port}` has Neutron write it again."
_THERE = "`isthmus port rebind {port} --host {host}` has Neutron bind it where its server is."


def check_bindings(site: Holdings) -> Iterator[Verdict]:
    """Find ports that Neutron could not bind, and those that OVN wants on another hypervisor."""
    names = {one["name"]: str(one["hostname"]) for one in site.ovn.get("chassis", ())}
    rows = by(site.ovn.get("ports", ()), "id")
    for port_id, port in sorted(site.ports.items()):
        host, kind = str(port.get(_HOST) or ""), port.get(_VIF_TYPE)
        if kind == _FAILED:
            yield _broken(
                site,
                port_id,
                "port.binding_failed",
                "port that could not be bound",
                f"Neutron could not bind it to {host}",
                _AGAIN.format(port=port_id, host=host),
            )
        elif kind in _PLUGGED and port_id in rows:
            yield from _check_host(site, port_id, host, rows[port_id], names)


def _check_host(
    site: Holdings, port_id: str, host: str, row: Row, names: Mapping[str, str]
) -> Iterator[Verdict]:
    """Compare the hypervisor that Neutron says with that which OVN was asked for.

    An older site does not say the latter. While a server moves OVN is asked for two.
    """
    asked = [names.get(one, one) for one in str(row.get("requested_chassis") or "").split(",")]
    if row["type"] or asked == [""] or host in asked:
        return
    bound = names.get(row.get("chassis") or "", "")
    is_there = bound in asked
    remedy = _THERE.format(port=port_id, host=bound) if is_there else _HERE.format(port=port_id)
    where = f"it is on {bound}" if bound else "it is on none"
    yield _broken(
        site,
        port_id,
        "port.other_hypervisor",
        "port on another hypervisor",
        f"Neutron has it on {host}, OVN is asked for {', '.join(asked)}, and {where}",
        remedy,
    )


def _broken(
    site: Holdings, port_id: str, code: str, message: str, evidence: str, remedy: str
) -> Verdict:
    return Verdict(
        code=code,
        severity=Severity.BROKEN,
        subject=Subject(port_id, "port", site.name),
        message=message,
        evidence=evidence,
        remedy=remedy,
    )
