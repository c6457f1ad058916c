"""Codes that a lab was seen to have, named first, and gone once the fault was undone."""

#: Filled from what `why_faults` prints.
SEEN = frozenset({
    "chassis.twice", "gateway.by_hand", "gateway.no_chassis", "group.rules_differ",
    "host.certificate_expired", "host.controller_hung", "host.encap_ip", "mtu.geneve_header",
    "nat.no_mac", "port.address_twice", "site.disabled",
})  # fmt: skip
