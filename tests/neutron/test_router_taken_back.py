"""What Neutron takes back of a router at a site, since OVN failed, is not taken for done.

Neutron's own plugin does so after its commit: it makes the router or the interface again, and
whoever removed it hears nothing of the failure.
"""

import pytest
from tests.neutron.test_carried import ask

from isthmus import errors

pytestmark = pytest.mark.neutron


def test_what_is_there_again_is_to_be_removed_again() -> None:
    told = ask("""
import json
from neutron_lib.exceptions import l3
from isthmus import errors
from isthmus.neutron.local.resource import router

class Plugin:
    there, again = True, True
    def get_router(self, context, router_id):
        if not self.there:
            raise l3.RouterNotFound(router_id=router_id)
        return {"id": router_id, "routes": []}
    def delete_router(self, context, router_id):
        self.there = self.again

def remove(plugin):
    try:
        router.remove(plugin, None, "r")
    except errors.IsthmusError as error:
        return [error.code, error.message]
    return []

interfaces = [{"id": "p"}]
router.check_owned = lambda *_: None
router._drop_gateway = router._remove_interfaces = lambda *_, **__: None
router._list_interfaces = lambda *_: interfaces
router.exit_apply.carry_out = lambda *_, **__: None
plugin = Plugin()
found = [remove(plugin)]
interfaces.clear()
found.append(remove(plugin))
plugin.again = False
found.append(remove(plugin))
print(json.dumps(found))
""")
    interface, router, done = told
    assert interface[0] == router[0] == errors.Busy.code
    assert "interfaces p of router r" in interface[1]
    assert "router r is here again" in router[1]
    assert done == []
