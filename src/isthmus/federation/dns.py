"""By which names OVN answers for a port: those that ML2/OVN writes at the port's home. Pure."""

from collections.abc import Mapping
from typing import Any


def list_names(port: Mapping[str, Any], domain: str) -> tuple[str, ...]:
    """List the names of a port; the first one is what its addresses are answered with.

    Source: `OVNClient.get_port_dns_records` and `is_dns_required_for_port`.

    Args:
        port: in the form of Neutron's API.
        domain: the DNS domain of its network; "" where it has none.
    """
    assigned = port.get("dns_assignment") or ()
    if not port.get("dns_name") or not assigned:
        return ()
    hostname, full = assigned[0]["hostname"], assigned[0]["fqdn"].rstrip(".")
    inner = f"{hostname}.{domain.rstrip('.')}" if domain.rstrip(".") else hostname
    return tuple(dict.fromkeys((full, hostname, inner)))
