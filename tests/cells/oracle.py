"""Nova and Placement themselves, asked how many instances fit; a process of its own.

    python tests/cells/oracle.py placement FOLDER <cases.json
    python tests/cells/oracle.py numa <cases.json
    python tests/cells/oracle.py masks <masks.json
    python tests/cells/oracle.py tables API CELL... PLACEMENT

For `placement` each case becomes a database in FOLDER with the tables of Placement; its flavors are
translated by Nova's `ResourceRequest`, and `GET /allocation_candidates` is asked again and again,
over every way to fill a host, for the most instances that it takes. For `numa` each case is a host,
a list of flavors that fill it and one whose instances are counted, all by Nova's
`numa_fit_instance_to_host`.
"""

# mypy: disable-error-code="import-not-found"

import json
import sqlite3
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any
from urllib import parse

CONSUMER = "11111111-1111-1111-1111-111111111111"


def make_flavor(flavor: dict[str, Any]) -> Any:
    from nova import objects

    return objects.Flavor(
        id=1,
        flavorid=flavor["flavorid"],
        name=flavor["name"],
        vcpus=flavor["vcpus"],
        memory_mb=flavor["ram_mib"],
        root_gb=flavor["disk_gib"],
        ephemeral_gb=flavor["ephemeral_gib"],
        swap=flavor["swap_mib"],
        rxtx_factor=1.0,
        vcpu_weight=0,
        is_public=True,
        disabled=False,
        extra_specs=flavor["extra_specs"],
    )


def queries_of(flavor: dict[str, Any]) -> list[str]:
    """Return what Nova would ask Placement for one instance, one after the other."""
    from nova import objects
    from nova.scheduler import request_filter, utils

    properties = objects.ImageMetaProps()
    if "hw:mem_encryption" in flavor["extra_specs"]:  # without it Nova refuses the server
        properties.hw_firmware_type = "uefi"
    spec = objects.RequestSpec(
        flavor=make_flavor(flavor),
        image=objects.ImageMeta(properties=properties),
        requested_resources=[],
        request_level_params=objects.RequestLevelParams(
            root_required=set(), root_forbidden={"COMPUTE_STATUS_DISABLED"}, same_subtree=[]
        ),
        is_bfv=False,
    )
    for one in (
        request_filter.packed_virtqueue_filter,
        request_filter.ephemeral_encryption_filter,
        request_filter.virtio_sound_filter,
        request_filter.tpm_secret_security_filter,
    ):
        one(None, spec)
    found = []
    for translate in (True, False):
        request = utils.ResourceRequest.from_request_spec(spec, translate)
        request._limit = None
        found.append(str(request.to_querystring()))
        if not request.cpu_pinning_requested:  # manager.SchedulerManager._select_destinations
            break
    return found


class Placement:
    """One Placement over a SQLite file; Placement has one engine a process, which is exchanged."""

    is_configured = False
    put_back: Any = staticmethod(lambda: None)

    def __init__(self, path: Path, case: dict[str, Any]) -> None:
        import sqlalchemy as sa
        from oslo_config import cfg
        from oslo_policy import opts as policy_opts
        from placement import conf, db_api, deploy
        from placement.db.sqlalchemy import migration
        from placement.objects import resource_class, trait

        options = cfg.ConfigOpts()
        conf.register_opts(options)
        policy_opts.set_defaults(options)
        options.set_override("connection", f"sqlite:///{path}", group="placement_database")
        options([], default_config_files=[], default_config_dirs=[])
        options.set_override("auth_strategy", "noauth2", group="api")
        manager = db_api.placement_context_manager
        if not Placement.is_configured:
            db_api.configure(options)
            db_api.get_placement_engine()
            Placement.is_configured = True
        engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
        Placement.put_back()
        Placement.put_back = staticmethod(manager.patch_engine(engine))
        migration.create_schema(engine)
        trait._TRAITS_SYNCED = resource_class._RESOURCE_CLASSES_SYNCED = False
        deploy.update_database(options)
        self.app = deploy.loadapp(options)
        self.path = path
        self._write(case)
        self.trees: dict[str, set[str]] = {}
        by_id = {one["id"]: one for one in case["providers"]}
        for one in case["providers"]:
            self.trees.setdefault(by_id[one["root"]]["uuid"], set()).add(one["uuid"])

    def _request(self, method: str, url: str, body: Any = None, *, ok: int = 200) -> Any:
        import webob

        headers = {"openstack-api-version": "placement 1.39", "x-auth-token": "admin"}
        request = webob.Request.blank(url, method=method, headers=headers)
        if body is not None:
            request.json_body = body
            request.content_type = "application/json"
        response = request.get_response(self.app)
        assert response.status_int == ok, (method, url, body, response.status, response.text)
        return response.json_body if response.body else None

    def _generation(self, url: str) -> int:
        return int(self._request("GET", url)["generation"])

    def _write(self, case: dict[str, Any]) -> None:
        """Write a case by Placement's own API."""
        by_id = {one["id"]: one for one in case["providers"]}
        customs = {"CUSTOM_VF", *(one["resource_class"] for one in case["inventories"])}
        for name in sorted(one for one in customs if one.startswith("CUSTOM_")):
            self._request("PUT", f"/resource_classes/{name}", ok=201)
        traits = {name for one in case["providers"] for name in one["traits"]}
        traits |= {"CUSTOM_PHYSNET_A", "CUSTOM_PHYSNET_B", "CUSTOM_FAST", "CUSTOM_GOLD"}
        for name in sorted(one for one in traits if one.startswith("CUSTOM_")):
            self._request("PUT", f"/traits/{name}", ok=201)
        for one in sorted(case["providers"], key=lambda row: row["root"] != row["id"]):
            body = {"name": one["name"], "uuid": one["uuid"]}
            if one["root"] != one["id"]:
                body["parent_provider_uuid"] = by_id[one["root"]]["uuid"]
            self._request("POST", "/resource_providers", body)
            url = f"/resource_providers/{one['uuid']}"
            mine = {
                row["resource_class"]: {
                    key: row[key]
                    for key in (
                        "total",
                        "reserved",
                        "min_unit",
                        "max_unit",
                        "step_size",
                        "allocation_ratio",
                    )
                }
                for row in case["inventories"]
                if row["provider"] == one["id"]
            }
            body = {"resource_provider_generation": self._generation(url), "inventories": mine}
            self._request("PUT", f"{url}/inventories", body)
            body = {"resource_provider_generation": self._generation(url), "traits": one["traits"]}
            self._request("PUT", f"{url}/traits", body)
            body = {
                "resource_provider_generation": self._generation(url),
                "aggregates": one["aggregates"],
            }
            self._request("PUT", f"{url}/aggregates", body)
        with sqlite3.connect(self.path) as database:
            self.classes = dict(database.execute("SELECT name, id FROM resource_classes"))
            self.ids = dict(database.execute("SELECT uuid, id FROM resource_providers"))
            for row in case["inventories"]:
                if row["used"]:
                    self._insert(
                        database,
                        str(uuid.uuid4()),
                        by_id[row["provider"]]["uuid"],
                        row["resource_class"],
                        row["used"],
                    )
        database.close()

    def _insert(
        self, database: sqlite3.Connection, consumer: str, provider: str, name: str, used: int
    ) -> None:
        database.execute(
            "INSERT INTO allocations (resource_provider_id, consumer_id, resource_class_id, used) "
            "VALUES (?, ?, ?, ?)",
            (self.ids[provider], consumer, self.classes[name], used),
        )

    def _use(self, used: dict[tuple[str, str], int]) -> None:
        with sqlite3.connect(self.path) as database:
            database.execute("DELETE FROM allocations WHERE consumer_id = ?", (CONSUMER,))
            for (provider, name), amount in used.items():
                self._insert(database, CONSUMER, provider, name, amount)
        database.close()

    def count(self, queries: list[str], host: str) -> int:
        """Count the most instances that one host takes, over every way to fill it."""
        known: dict[frozenset[Any], int] = {}

        def most(used: dict[tuple[str, str], int]) -> int:
            key = frozenset(used.items())
            if key not in known:
                self._use(used)
                urls = [f"/allocation_candidates?{query}" for query in queries]
                found = [
                    one for url in urls for one in self._request("GET", url)["allocation_requests"]
                ]
                ways = set()
                for one in found:
                    if not self.trees[host] & set(one["allocations"]):
                        continue
                    more = Counter(used)
                    for provider, taken in one["allocations"].items():
                        for name, amount in taken["resources"].items():
                            more[provider, name] += amount
                    ways.add(frozenset(more.items()))
                known[key] = max((1 + most(dict(way)) for way in ways), default=0)
            return known[key]

        try:
            return most({})
        finally:
            self._use({})


def answer_placement(folder: Path) -> None:
    cases = json.load(sys.stdin)
    answers = []
    for number, case in enumerate(cases):
        placement = Placement(folder / f"{number}.sqlite", case)
        queries = [queries_of(one) for one in case["flavors"]]
        answers.append(
            {
                "queries": [[sorted(parse.parse_qsl(one)) for one in many] for many in queries],
                "counts": [
                    [placement.count(many, host) for host in case["hosts"]] for many in queries
                ],
            }
        )
    json.dump(answers, sys.stdout)


class Host:
    """One host as Nova's scheduler and claims see it."""

    def __init__(self, case: dict[str, Any]) -> None:
        from nova import objects

        self.topology = objects.NUMATopology(
            cells=[
                objects.NUMACell(
                    id=one["id"],
                    cpuset=set(one["shared"]),
                    pcpuset=set(one["dedicated"]),
                    siblings=[set(core) for core in one["cores"]],
                    memory=one["memory"],
                    cpu_usage=0,
                    memory_usage=0,
                    pinned_cpus=set(),
                    socket=0,
                    network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
                    mempages=[
                        objects.NUMAPagesTopology(size_kb=size, total=total, used=0, reserved=left)
                        for size, total, left in one["pages"]
                    ],
                )
                for one in case["nodes"]
            ]
        )
        self.limits = objects.NUMATopologyLimits(
            cpu_allocation_ratio=case["cpu_ratio"],
            ram_allocation_ratio=case["ram_ratio"],
            network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
        )

    def place(self, flavor: dict[str, Any]) -> bool:
        from nova import exception, objects
        from nova.pci import stats
        from nova.virt import hardware

        image = objects.ImageMeta(properties=objects.ImageMetaProps())
        wanted = hardware.numa_get_constraints(make_flavor(flavor), image)
        if wanted is None:
            return False
        devices = stats.PciDeviceStats(self.topology)
        fitted = hardware.numa_fit_instance_to_host(
            self.topology, wanted, {}, self.limits, [], devices
        )
        if fitted is None:
            return False
        try:
            self.topology = hardware.numa_usage_from_instance_numa(self.topology, fitted)
        except (exception.CPUPinningUnknown, exception.CPUPinningInvalid, AttributeError):
            return False  # the claim fails, and the instance is not built
        return True


def answer_numa() -> None:
    answers = []
    for case in json.load(sys.stdin):
        host = Host(case)
        for flavor in case["filled"]:
            host.place(flavor)
        text = json.dumps(host.topology.obj_to_primitive())
        counts = []
        for flavor in case["flavors"]:
            fresh = Host(case)
            fresh.topology = type(host.topology).obj_from_primitive(json.loads(text))
            count = 0
            while count < case["most"] and fresh.place(flavor):
                count += 1
            counts.append(count)
        answers.append({"numa": text, "counts": counts})
    json.dump(answers, sys.stdout)


def answer_masks() -> None:
    """Answer which virtual CPUs masks name, and which booleans are true; None for a refusal."""
    from nova import exception
    from nova.virt import hardware
    from oslo_utils import strutils

    asked = json.load(sys.stdin)
    masks: list[list[int] | None] = []
    for mask, count in asked["masks"]:
        flavor = {
            **asked["flavor"],
            "vcpus": count,
            "extra_specs": {"hw:cpu_dedicated_mask": mask},
        }
        try:
            cpus = hardware.get_dedicated_cpu_constraint(make_flavor(flavor))
            masks.append(sorted(cpus or ()))
        except exception.NovaException:
            masks.append(None)
    truths = [strutils.bool_from_string(one) for one in asked["truths"]]
    json.dump({"masks": masks, "truths": truths}, sys.stdout)


def make_tables(urls: list[str]) -> None:
    """Make the tables of Nova's API, of cells and of Placement at URLs, in this order."""
    import sqlalchemy as sa
    from nova.db.api import models as api
    from nova.db.main import models as cell
    from placement.db.sqlalchemy import models as placement

    first, *cells, last = urls
    for url, base in (
        (first, api.BASE),
        *((one, cell.BASE) for one in cells),
        (last, placement.BASE),
    ):
        engine = sa.create_engine(url)
        for table in base.metadata.tables.values():
            table.indexes.clear()  # one of Nova's needs prefixes that only its migrations give
        base.metadata.create_all(engine)
        engine.dispose()


if __name__ == "__main__":
    from nova import conf, objects

    objects.register_all()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    if sys.argv[1] == "tables":
        make_tables(sys.argv[2:])
        sys.stdout.write("{}")
    elif sys.argv[1] == "masks":
        answer_masks()
    elif sys.argv[1] == "placement":
        answer_placement(Path(sys.argv[2]))
    else:
        answer_numa()
