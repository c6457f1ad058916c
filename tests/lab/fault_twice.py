"""States of the fault matrix in which tiers contradict each other: what is twice, or too much.

And those that no lab can be brought into, with the test that has the case instead.
"""

from collections.abc import Mapping

from tests.lab.fault import Fault

_RESYNC = ("isthmus site resync site1",)
#: Where both sites have a part in it.
_BOTH = "site1, site2"
_AGENT = '"neutron:ovn-metadata-id"'

CONTRADICTIONS = (
    Fault(
        name="intent refused by a site",
        inject=(
            "sql central INSERT OR IGNORE INTO isthmus_journal (lane, type, resource_id, id, rank, "
            "generation, attempts, parked, last_error, awaited, created_at, changed_at) VALUES "
            "('site1', 'network', '{network}', '{stranger}', 3, 1, 5, 1, 'Refused: by hand', 0, "
            "datetime('now'), datetime('now'))",
        ),
        code="job.parked",
        status="site1 has 1 parked",
        heals=("isthmus job retry {stranger}",),
    ),
    Fault(
        name="number leased twice",
        inject=(
            "sql central INSERT OR IGNORE INTO isthmus_leases (id, kind, pool_id, site, first, "
            "last, created_at) SELECT '{stranger}', kind, pool_id, 'site2', last, last, created_at "
            "FROM isthmus_leases WHERE id = '{lease}'",
        ),
        code="lease.overlap",
        place="central",
        by_hand=("sql central DELETE FROM isthmus_leases WHERE id = '{stranger}'",),
    ),
    Fault(
        name="lease made smaller at central",
        inject=("sql central UPDATE isthmus_leases SET last = first WHERE id = '{lease}'",),
        code="lease.larger",
        heals=("isthmus lease return site1 {lease}",),
    ),
    Fault(
        name="address of a port given to another one",
        inject=(
            "sql site1 UPDATE ipallocations SET ip_address = '{b_address}' "
            "WHERE port_id = '{a}' AND ip_address = '{a_address}'",
        ),
        code="port.address_twice",
        place=_BOTH,
        by_hand=(
            "sql site1 UPDATE ipallocations SET ip_address = '{a_address}' "
            "WHERE port_id = '{a}' AND ip_address = '{b_address}'",
            *_RESYNC,
        ),
    ),
    Fault(
        name="key of another site's port given to a port",
        inject=("sql site1 UPDATE isthmus_port_keys SET port_key = {b_key} WHERE port_id = '{a}'",),
        code="port.key_twice",
        place=_BOTH,
        by_hand=(
            "sql site1 UPDATE isthmus_port_keys SET port_key = {a_key} WHERE port_id = '{a}'",
            *_RESYNC,
        ),
    ),
    Fault(
        name="key asked for twice in OVN",
        inject=("nb site1 set Logical_Switch_Port {a} options:requested-tnl-key={b_key}",),
        code="ovn.key_not_granted",
        by_hand=_RESYNC,
    ),
    Fault(
        name="port at a second site",
        inject=(
            "sql site2 INSERT OR IGNORE INTO standardattributes (id, resource_type, "
            "revision_number, created_at, updated_at) VALUES "
            "(999999, 'ports', 0, datetime('now'), datetime('now'))",
            "sql site2 INSERT OR IGNORE INTO ports (id, name, network_id, mac_address, "
            "admin_state_up, status, device_id, device_owner, standard_attr_id, project_id) VALUES "
            "('{a}', 'twice', '{network}', '02:00:00:00:00:07', 1, 'DOWN', '', 'compute:nova', "
            "999999, '')",
        ),
        code="port.two_homes",
        place=_BOTH,
        by_hand=(
            "sql site2 DELETE FROM ports WHERE id = '{a}'",
            "sql site2 DELETE FROM standardattributes WHERE id = 999999",
            "isthmus site resync site2",
        ),
        within_s=420,
    ),
    Fault(
        name="shadow of a port that is nowhere",
        inject=(
            "sql site1 INSERT OR IGNORE INTO isthmus_shadows (port_id, network_id, chassis, "
            "port_key, state) SELECT '{stranger}', network_id, chassis, 9994, "
            "replace(state, '{b}', '{stranger}') FROM isthmus_shadows WHERE port_id = '{b}'",
        ),
        code="shadow.extra",
        heals=_RESYNC,
    ),
    Fault(
        name="shadow forgotten that OVN has",
        inject=("sql site1 DELETE FROM isthmus_shadows WHERE port_id = '{b}'",),
        code="ovn.shadow_port.extra",
        heals=_RESYNC,
    ),
    Fault(
        name="subnet deleted at a site",
        inject=("sql site1 DELETE FROM subnets WHERE id = '{spare}'",),
        code="subnet.missing",
        heals=_RESYNC,
    ),
    Fault(
        name="port to the physical network deleted",
        inject=("nb site1 lsp-del {fabric}",),
        code="network.not_on_fabric",
        by_hand=("sh site1 isthmus-ovn-db-sync-util --config-file {conf} --repair",),
        packets="c {outside}",
    ),
    Fault(
        name="port that could not be bound",
        inject=(
            "sql site1 UPDATE ml2_port_bindings SET vif_type = 'binding_failed' "
            "WHERE port_id = '{a}'",
        ),
        code="port.binding_failed",
        heals=("isthmus port rebind {a}",),
    ),
    Fault(
        name="hypervisor of a port changed in Neutron's database",
        inject=("sql site1 UPDATE ml2_port_bindings SET host = 'elsewhere' WHERE port_id = '{a}'",),
        code="port.other_hypervisor",
        heals=("isthmus port rebind {a} --host site1-h1",),
    ),
    Fault(
        name="agent of a hypervisor that does not answer",
        inject=(f"sb site1 set Chassis_Private site1-h1 'external_ids:{_AGENT}=matrix'",),
        code="ovn.agent.silent",
        status="metadata agent does not answer on site1-h1",
        by_hand=(f"sb site1 remove Chassis_Private site1-h1 external_ids '{_AGENT}'",),
    ),
    Fault(
        name="site restored that cannot register",
        inject=(
            "sh site1 ip rule add to {central} ipproto tcp dport 9696 blackhole",
            "sql site1 UPDATE isthmus_epochs SET recovered = 0, registered = 0, "
            "reason = 'its database was restored'",
        ),
        code="tier.recovering",
        status="site1 gives out no addresses",
        by_hand=("sh site1 ip rule del to {central} ipproto tcp dport 9696",),
    ),
)

#: Codes of which the lab has no state: why, and the test that has a case of it.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "shadow.refused": (
        "only an OVN older than 24.03 holds few shadow ports, and the lab's is newer",
        "tests/unit/test_audit.py::test_refused_shadows_are_told_from_missing_ones",
    ),
    "ovn.slow": (
        "who owes an answer for 15 s is slow, and silent 5 s later: no command is sure to look "
        "between the two",
        "tests/unit/test_audit_pulse.py::test_who_is_slow_is_not_called_silent_too_early",
    ),
    "address_group.addresses": (
        "its remedy is a command where the site's Neutron is installed; it is tried with a Neutron "
        "and an OVN",
        "tests/neutron/test_db_sync.py::"
        "test_address_groups_and_translations_that_are_lost_are_named_and_come_back",
    ),
    "router.no_snat": (
        "its remedy is that same command",
        "tests/neutron/test_db_sync.py::"
        "test_address_groups_and_translations_that_are_lost_are_named_and_come_back",
    ),
    **dict.fromkeys(
        (
            "router.no_logical_router",
            "router.router_port",
            "router.no_route",
            "router.logical_router",
            "trunk.subport",
            "port.no_qos",
        ),
        (
            "it is a row of Neutron's in OVN, tried with a Neutron and an OVN",
            "tests/neutron/test_audit_by_hand.py::test_what_was_changed_by_hand_is_named",
        ),
    ),
}
