"""Which ports are read to find what OVN lost: those of networks that are not as they were."""

import dataclasses
import warnings
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from isthmus.dataplane.kind.port_key import PORT_KEY, SwitchPort
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, ShadowPorts
from isthmus.dataplane.kind.switch_key import SWITCH_KEY, Switch
from isthmus.dataplane.row_kind import Observed
from isthmus.federation.rewrite import plan_rewrites
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import DATAPATHS

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron.db.models import securitygroup
    from neutron_lib.db import model_base

    from isthmus.neutron.local.ovn import rewriter

NETWORKS = ("n1", "n2")
PORTS = {f"{network}-{place}": network for network in NETWORKS for place in range(3)}


def fill(connection: sa.Connection) -> Observed:
    """Make two networks with three ports each, all of them right in OVN."""
    assert securitygroup is not None
    tables = ("networks", "subnets", "ports", "standardattributes", "ovn_revision_numbers")
    more = ("ipallocations", "securitygroups", "securitygroupportbindings", "securitygrouprules")
    of_dhcp = ("extradhcpopts", "ml2_port_bindings")
    for name in (*tables, *more, *of_dhcp):
        columns = model_base.BASEV2.metadata.tables[name].columns
        plain = [sa.Column(one.name, sa.String(64)) for one in columns if one.name != "id"]
        numbers = {"revision_number", "standard_attr_id", "ip_version", "enable_dhcp"}
        plain = [
            sa.Column(one.name, sa.Integer if one.name in numbers else sa.String(64))
            for one in plain
        ]
        key = sa.Integer if name == "standardattributes" else sa.String(64)
        sa.Table(name, sa.MetaData(), sa.Column("id", key, primary_key=True), *plain).create(
            connection
        )
    DATAPATHS.create(connection)
    for place, (kind, one) in enumerate(
        [*(("networks", one) for one in NETWORKS), *(("ports", one) for one in PORTS)], start=1
    ):
        at = {"id": place, "network": PORTS.get(one, one), "one": one, "kind": kind}
        more_of_port = ", network_id, mac_address, device_owner" if kind == "ports" else ""
        values = ", :network, 'fa:16:3e:00:00:0' || :id, 'compute:nova'" if more_of_port else ""
        for statement in (
            f"INSERT INTO {kind} (id, standard_attr_id{more_of_port}) VALUES (:one, :id{values})",
            "INSERT INTO standardattributes (id, revision_number) VALUES (:id, 3)",
            "INSERT INTO ovn_revision_numbers (id, resource_uuid, resource_type, revision_number) "
            "VALUES (:id, :one, :kind, 3)",
        ):
            connection.execute(sa.text(statement), at)
    for place, network in enumerate(NETWORKS):
        connection.execute(
            sa.insert(DATAPATHS).values(network_id=network, datapath_key=16711681 + place)
        )
    ports = {
        one: SwitchPort(
            network_id=network,
            type="",
            port_key=None,
            addresses=frozenset({f"fa:16:3e:00:00:0{place}"}),
            revision=3,
        )
        for place, (one, network) in enumerate(PORTS.items(), start=3)
    }
    return seen(ports)


def seen(ports: Mapping[str, SwitchPort]) -> Observed:
    """Give what OVN has."""
    return Observed(
        {
            SWITCH_KEY.name: {one: Switch(key=1, revision=3) for one in NETWORKS},
            PORT_KEY.name: ports,
            SHADOW_PORT.name: ShadowPorts(ports={}, groups=frozenset()),
        }
    )


def look(
    connection: sa.Connection,
    observed: Observed,
    known: rewriter.Known,
    answered: Collection[str] = (),
) -> tuple[int, bool]:
    """Do what a sweep does: give how many ports were read, and whether something is wrong."""
    prints = rewriter.read_prints(connection, observed)
    changed = known.find_changed(prints)
    written = rewriter.list_written(connection, observed, changed, answered)
    rewrites = plan_rewrites(written)
    known.record(prints, rewriter.list_networks_of(connection, rewrites))
    return sum(one.kind == "ports" for one in written), bool(rewrites)


def test_ports_are_read_where_something_is_not_as_it_was() -> None:
    engine = open_engine("sqlite://")
    known = rewriter.Known()
    with engine.begin() as connection:
        observed = fill(connection)
        assert look(connection, observed, known) == (6, False)
        assert look(connection, observed, known) == (0, False)
        # A port that Neutron has changed and written.
        for table in ("standardattributes", "ovn_revision_numbers"):
            connection.execute(sa.text(f"UPDATE {table} SET revision_number = 4 WHERE id = 3"))
        ports = dict(observed.of(PORT_KEY))
        ports["n1-0"] = dataclasses.replace(ports["n1-0"], revision=4)
        observed = seen(ports)
        assert look(connection, observed, known) == (3, False)
        assert look(connection, observed, known) == (0, False)
        # Rows of OVN that went, are older, or say something else at the same revision: each time
        # the whole network is read until it is right.
        old = dataclasses.replace(ports["n2-1"], revision=2)
        other = dataclasses.replace(ports["n2-1"], addresses=frozenset({"fa:16:3e:ff:ff:ff"}))
        for wrong in (None, old, other):
            broken = {one: port for one, port in ports.items() if one != "n2-1"}
            if wrong is not None:
                broken["n2-1"] = wrong
            bad = seen(broken)
            assert look(connection, bad, known) == (3, True)
            assert look(connection, bad, known) == (3, True)
            assert look(connection, observed, known) == (3, False)
        assert look(connection, observed, known) == (0, False)
        # Neutron's database came back from a backup: two ports have each other's revisions.
        swap = "UPDATE {} SET revision_number = 7 - revision_number WHERE id IN (3, 4)"
        for table in ("standardattributes", "ovn_revision_numbers"):
            connection.execute(sa.text(swap.format(table)))
        assert look(connection, observed, known) == (3, True)
    engine.dispose()


def add_subnet(connection: sa.Connection, port_id: str) -> None:
    """Give a port's network a subnet with DHCP, and the port an address of it."""
    at = {"port": port_id, "network": PORTS[port_id]}
    for statement in (
        "INSERT INTO subnets (id, network_id, ip_version, enable_dhcp, standard_attr_id) "
        "VALUES ('sub', :network, 4, 1, 90)",
        "INSERT INTO standardattributes (id, revision_number) VALUES (90, 3)",
        "INSERT INTO ovn_revision_numbers (id, resource_uuid, resource_type, revision_number) "
        "VALUES (90, 'sub', 'subnets', 3)",
        "INSERT INTO ipallocations (id, port_id, network_id, subnet_id, ip_address) "
        "VALUES (1, :port, :network, 'sub', '10.0.0.5')",
    ):
        connection.execute(sa.text(statement), at)


def test_lost_options_of_dhcp_are_written_again_the_subnet_s_first() -> None:
    engine = open_engine("sqlite://")
    known = rewriter.Known()
    with engine.begin() as connection:
        observed = fill(connection)
        add_subnet(connection, "n1-0")
        ports = dict(observed.of(PORT_KEY))
        ports["n1-0"] = dataclasses.replace(
            ports["n1-0"],
            addresses=frozenset({*ports["n1-0"].addresses, "10.0.0.5"}),
            dhcp=frozenset({4}),
        )
        right = seen(ports)
        bare = seen({**ports, "n1-0": dataclasses.replace(ports["n1-0"], dhcp=frozenset())})
        assert look(connection, right, known, {"sub"}) == (6, False)
        assert look(connection, right, known, {"sub"}) == (0, False)
        assert look(connection, bare, known, {"sub"}) == (3, True)
        # The subnet's own are lost: the port has to wait for those, and is not forgotten.
        assert look(connection, bare, known, set()) == (3, True)
        assert look(connection, bare, known, {"sub"}) == (3, True)
        assert look(connection, right, known, {"sub"}) == (3, False)
        # A port that takes any address is answered as well.
        free = dataclasses.replace(
            ports["n1-0"], addresses=frozenset({"unknown"}), dhcp=frozenset()
        )
        assert look(connection, seen({**ports, "n1-0": free}), known, {"sub"}) == (3, True)
        assert look(connection, right, known, {"sub"}) == (3, False)
        # The address of a load balancer is in no row.
        connection.execute(sa.text("UPDATE ports SET name = 'ovn-lb-vip-x' WHERE id = 'n1-0'"))
        empty = dataclasses.replace(ports["n1-0"], addresses=frozenset())
        assert look(connection, seen({**ports, "n1-0": empty}), known, {"sub"}) == (3, False)
        connection.execute(sa.text("UPDATE ports SET name = 'x' WHERE id = 'n1-0'"))
        assert look(connection, right, known, {"sub"}) == (3, False)
        # A port that wants none.
        connection.execute(
            sa.text(
                "INSERT INTO extradhcpopts (id, port_id, opt_name, opt_value, ip_version) "
                "VALUES ('o', 'n1-0', 'dhcp_disabled', 'True', 4)"
            )
        )
        assert look(connection, bare, known, {"sub"}) == (3, False)
    engine.dispose()
