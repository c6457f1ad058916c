"""The registries of resources: complete in each tier, serving whatever plugin has the calls."""

import pytest
from tests.neutron.test_carried import ask

pytestmark = pytest.mark.neutron


def test_every_resource_has_a_row_in_each_tier() -> None:
    found = ask("""
import json
from isthmus.model.resource import RESOURCES
from isthmus.neutron.central.resource import registry as central
from isthmus.neutron.local.resource import registry as local
print(json.dumps({
    "model": sorted(RESOURCES),
    "central": sorted(central.ROWS),
    "local": sorted(local.ROWS),
    "asked for": sorted(kind for kind, row in central.ROWS.items() if row.bring),
    "fetched": sorted(kind for kind, row in RESOURCES.items() if row.on_demand),
}))
""")
    assert found["central"] == found["local"] == found["model"]
    assert "network" in found["model"]
    assert found["asked for"] == found["fetched"]


#: What renewals compare and the audit has under another name, or in a part of its own.
_ELSEWHERE = {
    "isthmus:rbac": "sharing",
    "isthmus:datapath_key": "datapaths",
    "isthmus:leases": "leases",
    "isthmus:location": "locations",
    "security_group_rules": "rule_texts",
}


def test_the_audit_compares_what_travels() -> None:
    found = ask("""
import json
from isthmus.neutron.local.resource.registry import ROWS
print(json.dumps({
    kind: sorted(set(row.carried) - set(row.resource.compared)) for kind, row in ROWS.items()
}))
""")
    left = {name for names in found.values() for name in names}
    assert left == _ELSEWHERE.keys()


def test_what_central_locks_first_stands_first() -> None:
    kinds = ask("""
import json
from isthmus.neutron.central.resource.registry import ROWS
print(json.dumps(list(ROWS)))
""")
    assert kinds.index("network") < kinds.index("subnet") < kinds.index("port")
    assert kinds.index("security_group") < kinds.index("address_group") < kinds.index("port")


#: What a row of an object names that does not come along with it, and why not.
_COMES_OTHERWISE = {
    ("subnet", "network"): "it is where its network is",
    ("port", "network"): "its home is where its network is present",
    ("port", "subnet"): "its network takes it along",
    ("router", "port"): "interfaces and gateways are parts of the router",
    ("trunk", "port"): "it is at the home of its parent port, and its subports come home with it",
}


def test_whatever_an_objects_rows_name_comes_along_with_it() -> None:
    """A resource that another one names is in `along.NEEDS`, or here with the reason."""
    found = ask("""
import json
from isthmus.model.resource import RESOURCES
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.resource.registry import ROWS

class Empty:
    def scalars(self, query):
        return []

kinds = {row.table: kind for kind, row in RESOURCES.items()}
needs = {kind: sorted(need(Empty(), ["one"])) for kind, need in along.NEEDS.items()}
named = set()
for kind, row in ROWS.items():
    for model in {**row.parts, **row.touched_by}:
        for key in model.__table__.foreign_keys:
            other = kinds.get(key.target_fullname.split(".")[0])
            if other not in (None, kind):
                named.add((kind, other))
print(json.dumps({"needs": needs, "named": sorted(named)}))
""")
    missing = {
        (kind, other)
        for kind, other in map(tuple, found["named"])
        if other not in found["needs"].get(kind, ())
    }
    assert missing == _COMES_OTHERWISE.keys()


def test_any_plugin_is_guarded_that_has_a_call() -> None:
    """As a service plugin is: by the arguments' names, however they are passed."""
    found = ask("""
import json
from isthmus.neutron.local.owned import guards, ownership

class Native:
    def update_address_group(self, context, id, address_group):
        return id
    def create_subnet_bulk(self, context, subnets):
        return len(subnets["subnets"])
    def delete_subnet(self, context, id):
        return id
    def update_something(self, context, id):
        return id

@ownership.guarded
class Service(Native):
    def delete_subnet(self, context, id):
        return super().delete_subnet(context, id)

asked = []
guards.check_owner = lambda _context, kind, ids: asked.append([kind, sorted(ids)])
service, subnets = Service(), [{"subnet": {"network_id": one}} for one in ("m", "n")]
answers = [
    service.update_address_group(None, "a", {}),
    service.update_address_group(None, address_group={}, id="b"),
    service.create_subnet_bulk(None, subnets={"subnets": subnets}),
    service.delete_subnet(None, "c"),
    service.update_something(None, "d"),
]
print(json.dumps({"asked": asked, "answers": answers}))
""")
    assert found["asked"] == [
        ["address_group", ["a"]],
        ["address_group", ["b"]],
        ["network", ["m", "n"]],
    ]
    assert found["answers"] == ["a", "b", 2, "c", "d"]


def test_a_guard_passes_a_call_on_to_whatever_class_comes_next() -> None:
    """The class that is guarded is one of several that a plugin is made of."""
    found = ask("""
import json
from isthmus.neutron.local.owned import guards, ownership

class Native:
    def update_address_group(self, context, id, address_group):
        return ["native"]

@ownership.guarded
class Guard(Native):
    pass

class Next(Native):
    def update_address_group(self, context, id, address_group):
        return ["next", *super().update_address_group(context, id, address_group)]

class Plugin(Guard, Next):
    pass

guards.check_owner = lambda _context, kind, ids: None
print(json.dumps({
    "whole": Plugin().update_address_group(None, "a", {}),
    "alone": Guard().update_address_group(None, "a", address_group={}),
}))
""")
    assert found == {"whole": ["next", "native"], "alone": ["native"]}


def test_any_plugin_fetches_that_has_a_call() -> None:
    found = ask("""
import json
from neutron_lib import exceptions
from isthmus.neutron.local.fetch import fetching

class Native:
    here = {"a": {"id": "a"}}
    def get_network(self, context, id, fields=None):
        if id not in self.here:
            raise exceptions.NetworkNotFound(net_id=id)
        return self.here[id]
    def get_subnets(self, context, filters=None, fields=None):
        return []
    def get_address_group(self, context, id, fields=None):
        raise KeyError(id)

@fetching.fetching
class Service(fetching.Asking, Native):
    asked = []
    def _fetch_missing(self, context, kind, ids, fields=None, *, missed=False):
        if not ids:
            return False
        self.asked.append([kind, list(ids), missed])
        self.here |= {one: {"id": one} for one in ids if one != "nowhere"}
        return "nowhere" not in ids

service = Service()
answers = [service.get_network(None, "a"), service.get_network(None, "b", fields=["id"])]
answers.append(service.get_subnets(None, filters={"id": ["s"], "network_id": ["n"]}))
for call in (service.get_network, service.get_address_group):
    try:
        call(None, "nowhere")
    except Exception as error:
        answers.append(type(error).__name__)
print(json.dumps({"asked": service.asked, "answers": answers}))
""")
    assert found["answers"] == [{"id": "a"}, {"id": "b"}, [], "NetworkNotFound", "KeyError"]
    assert found["asked"] == [
        ["network", ["b"], True],
        ["subnet", ["s"], False],
        ["network", ["n"], False],
        ["network", ["nowhere"], True],
    ]
