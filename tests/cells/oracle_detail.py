"""Nova's own API over several cells, with and without our list before it, in one process.

    python tests/cells/oracle_detail.py API CELL0 <questions

Each line on stdin is a question as JSON, each answer a line. `texts` gives what Nova's objects look
like in its tables. `ask` sends `GET /servers/detail` to Nova's router (`nova`) or to our filter
before it (`ours`), as one who has logged in, and gives status and body; with `many` it gives how
long that took, and a digest. Neutron is a fake that has a port with two
security groups for each server.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

import hashlib
import json
import os
import sys
import time
from typing import Any

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"

GROUP = "0e3c3f60-6c1c-4a0c-9d3b-6a3c0f0f8a11"
GROUPS = {"sg1": "default", "sg2": "web"}


class Neutron:
    """It, as Nova asks it for security groups."""

    def list_ports(self, *, device_id: list[str], **_: Any) -> Any:
        return {"ports": [{"device_id": one, "security_groups": [*GROUPS]} for one in device_id]}

    def list_security_groups(self, **_: Any) -> Any:
        return {
            "security_groups": [{"id": key, "name": name} for key, name in GROUPS.items()],
        }


class Clouds:
    """Nova's router, and ours before it."""

    def __init__(self, api: str, cell0: str) -> None:
        from nova import monkey_patch

        monkey_patch.patch(backend="threading")
        from nova import config, objects, rpc
        from oslo_messaging import transport

        objects.register_all()
        config.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
        config.CONF.register_opts(transport._transport_opts)
        config.CONF.set_override("transport_url", "fake://")
        config.CONF.set_override("connection", api, group="api_database")
        config.CONF.set_override("connection", cell0, group="database")
        config.CONF.set_override("service_down_time", 10**8)
        from nova.db.api import api as api_db
        from nova.db.main import api as main_db

        api_db.configure(config.CONF)
        main_db.configure(config.CONF)
        rpc.init(config.CONF)
        from nova.api.openstack import FaultWrapper
        from nova.api.openstack.compute import APIRouterV21
        from nova.network import security_group_api

        security_group_api.neutronapi.get_client = lambda *_, **__: Neutron()

        self.conf, self.wrap, self.router = config.CONF, FaultWrapper, APIRouterV21()
        self.of = {"nova": FaultWrapper(self.router)}

    def find(self, which: str, budget: float, *, fresh: bool) -> Any:
        """Find who answers; with `fresh` one that knows nothing yet of cells that hang."""
        from isthmus.nova.servers.controller import make_filter

        if which not in self.of or (fresh and which == "ours"):
            self.of[which] = self.wrap(make_filter({}, budget=str(budget))(self.router))
        return self.of[which]

    def ask(self, question: dict[str, Any]) -> Any:
        from nova import context as nova_context
        from nova.api.openstack import wsgi

        self.conf.set_override("response_validation", question.get("validation", "ignore"), "api")
        self.conf.set_override("max_limit", question.get("max_limit", 1000), "api")
        who = question["who"]
        request = wsgi.Request.blank(question["path"], base_url="http://nova.test/v2.1")
        request.headers["OpenStack-API-Version"] = f"compute {question['version']}"
        request.environ["nova.context"] = nova_context.RequestContext(
            user_id="user", project_id=who["project"], roles=who["roles"], is_admin=None
        )
        application = self.find(
            question["which"], question.get("budget", 30), fresh=question.get("fresh", False)
        )
        began, cpu = time.perf_counter(), time.process_time()
        answer = request.get_response(application)
        took = [time.perf_counter() - began, time.process_time() - cpu]
        if "many" not in question:
            return {"status": answer.status_int, "body": json.loads(answer.body)}
        digest = hashlib.sha256(answer.body).hexdigest()
        return [*took, answer.status_int, answer.body.count(b'"accessIPv4"'), digest]


def make_texts() -> dict[str, Any]:
    from nova import objects

    flavors = [
        objects.Flavor(
            id=number,
            name=name,
            flavorid=str(number),
            memory_mb=2048,
            vcpus=number,
            root_gb=20,
            ephemeral_gb=0,
            swap=0,
            rxtx_factor=1.0,
            vcpu_weight=0,
            disabled=False,
            is_public=True,
            extra_specs={"hw:cpu_policy": "shared"},
            description=None,
        )
        for number, name in ((1, "m1.small"), (2, "m1.medium"))
    ]
    return {
        "flavors": [
            json.dumps({"cur": one.obj_to_primitive(), "old": None, "new": None}) for one in flavors
        ],
        "certs": json.dumps(objects.TrustedCerts(ids=["c1", "c2"]).obj_to_primitive()),
        "specs": [
            json.dumps(_make_spec(flavors[0], zone, hints).obj_to_primitive())
            for zone, hints in (
                (None, {}),
                ("az1", {"group": [GROUP], "different_cell": ["a", "b"]}),
            )
        ],
    }


def _make_spec(flavor: Any, zone: str | None, hints: dict[str, list[str]]) -> Any:
    from nova import objects

    return objects.RequestSpec(
        image=objects.ImageMeta(
            id="5c1e1a2a-1f0a-4d1c-9b43-0f3a6f0c8a11",
            name="cirros",
            properties=objects.ImageMetaProps(hw_disk_bus="virtio", hw_vif_model="virtio"),
        ),
        numa_topology=None,
        pci_requests=objects.InstancePCIRequests(requests=[]),
        project_id="p1",
        user_id="user",
        availability_zone=zone,
        flavor=flavor,
        num_instances=1,
        ignore_hosts=None,
        force_hosts=None,
        force_nodes=None,
        requested_destination=None,
        retry=None,
        limits=objects.SchedulerLimits(numa_topology=None, vcpu=None, disk_gb=None, memory_mb=None),
        instance_group=None,
        scheduler_hints=hints,
        security_groups=objects.SecurityGroupList(objects=[]),
        is_bfv=False,
    )


def main() -> None:
    clouds = Clouds(*sys.argv[1:3])
    for line in sys.stdin:
        question = json.loads(line)
        answer = make_texts() if question["do"] == "texts" else clouds.ask(question)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
