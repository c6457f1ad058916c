"""The methods of Neutron's OVN client that we extend are still what we take them for."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.neutron

#: What Neutron 29.0.0 has.
SIGNATURES = {
    "_get_port_options": ["self", "context", "port"],
    "update_port": ["self", "context", "port", "port_object"],
    "create_port": ["self", "context", "port", "segment_id"],
    "delete_port": ["self", "context", "port_id", "port_object", "keep_revision"],
    "_gen_network_parameters": ["self", "network"],
    "_get_nets_and_ipv6_ra_confs_for_router_port": ["self", "context", "port"],
    "_create_lrouter_port": ["self", "context", "router", "port", "txn"],
    "_update_lrouter_port": ["self", "context", "port", "if_exists", "txn"],
    "create_provnet_port": ["self", "context", "network_id", "segment", "txn", "network"],
    "create_network": ["self", "context", "network"],
    "delete_network": ["self", "context", "network_id"],
    "create_router": ["self", "context", "router", "add_external_gateway"],
    "delete_router": ["self", "context", "router_id"],
    "create_security_group": ["self", "context", "security_group"],
    "update_router_ha_chassis_group": ["self", "context", "router_id"],
    "link_network_ha_chassis_group": ["self", "context", "network_id", "router_id"],
    "_transaction": ["self", "commands", "txn"],
}

#: Modules that make clients; each must look the class up when it does.
MAKERS = (
    "neutron.plugins.ml2.drivers.ovn.mech_driver.mech_driver",
    "neutron.services.ovn_l3.plugin",
    "neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb.ovn_db_sync",
)

PROGRAM = f"""
import importlib, inspect, json
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import ovn_client
client = ovn_client.OVNClient
for name, wanted in {SIGNATURES!r}.items():
    found = list(inspect.signature(getattr(client, name)).parameters)
    assert found == wanted, (name, found)
source = inspect.getsource(client)
assert source.count("_get_port_options(") == 2, "another way to a port's options"
assert source.count("_gen_network_parameters(") == 5, "another way to a switch's other_config"
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import impl_idl_ovn, ovsdb_monitor
for idl in (ovsdb_monitor.OvnNbIdl, ovsdb_monitor.OvnSbIdl):
    assert list(inspect.signature(idl.notify).parameters) == ["self", "event", "row", "updates"]
    assert f"ovsdb_monitor.{{idl.__name__}}.from_server(" in inspect.getsource(impl_idl_ovn)
    assert "return cls(" in inspect.getsource(idl.from_server)
ring = inspect.getsource(ovsdb_monitor.OvnIdlDistributedLock)
assert ring.count("self._hash_ring") == 2, "the hash ring is used in another way"
assert "target_node, node_last_touch = self._hash_ring.get_node(" in ring
assert ring.count("touch_node(") == 1
assert "global_" in inspect.signature(ovsdb_monitor.OvnDbNotifyHandler.notify).parameters
from isthmus.neutron.local.ovn import ovn_client as ours
ours.install()
assert ovn_client.OVNClient is ours.KeyedOvnClient
assert ovsdb_monitor.OvnNbIdl is ours.QuietNbIdl
assert ovsdb_monitor.OvnSbIdl is ours.QuietSbIdl
for name in {MAKERS!r}:
    module = importlib.import_module(name)
    assert module.ovn_client is ovn_client, name
    assert "ovn_client.OVNClient(" in inspect.getsource(module), name
print("held")
"""


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )


def test_neutron_is_as_the_hook_takes_it() -> None:
    run = run_python(PROGRAM)
    assert run.stdout.strip() == "held", run.stderr


def test_guard_notices_a_change() -> None:
    changed = PROGRAM.replace("'_get_port_options': ['self'", "'_get_port_options': ['cls'")
    assert changed != PROGRAM
    run = run_python(changed)
    assert "AssertionError" in run.stderr
