"""What a site reports of its OVN, for the audit that compares it with central."""

from typing import Any

from isthmus.dataplane import defer
from isthmus.dataplane import plan as plans
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.protocols import SiteTables
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Scope

#: Parts whose rows are ports, with what SB says of each.
_BOUND = ("ports", "shadows")


def collect(rows: OvnRows, tables: SiteTables) -> dict[str, Any]:
    """Return what OVN holds of stretched networks.

    Args:
        rows: the site's OVN databases.
        tables: the site's own tables.

    Returns:
        JSON-able lists: `switches` (network_id, requested_key, key), `ports` (id, network_id, type,
        requested_key, key, addresses, chassis: everything that is not a shadow), `shadows` (the
        same, and site, groups), `chassis` (name, hostname, encap_ips, site: "" for its own),
        `responders`, what else a kind of rows reports, `port_keys` (port_id, network_id, key: what
        the table says), and `drift`: what the next sweep would change, one (code, what, id, change,
        waits: until the site has recovered, or heard of other sites' ports) each. Also `version`
        and `shadow_limit`.
    """
    with tables.reading() as source:
        scope = Scope.everything(source.networks())
    observed = plans.observe(rows, scope)
    with tables.reading() as source:
        desired = plans.read_desired(source, scope, observed)
        keys = source.port_keys()
        trust = source.trust()
    capability = parse_capability(rows.northd_version())
    parts = plans.list_holdings(observed)
    bindings = observed.of(BINDING)
    plan = plans.diff_rows(desired, observed, capability)
    later = defer.split(plan, desired, observed, {}, trust)[1].changes
    for row in (row for part in _BOUND for row in parts[part]):
        binding = bindings.get(row["id"])
        row["key"] = None if binding is None else binding.tunnel_key
        row["chassis"] = "" if binding is None else binding.chassis
    return {
        "version": capability.version,
        "shadow_limit": capability.shadow_limit,
        **parts,
        "port_keys": [
            {"port_id": port_id, "network_id": network_id, "key": key}
            for port_id, (network_id, key) in sorted(keys.items())
        ],
        "drift": plans.list_drift(plan, frozenset(later)),
    }
