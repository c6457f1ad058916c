"""A whole Nova with Placement in one process: its own code, databases and schedulers; no guests.

API, super conductor, scheduler, conductors of cells and any number of nova-computes are Nova's
managers, in cells with databases of their own; Placement is its WSGI application. What is left
out is what they reach each other by: messages are calls, of arguments that were serialised, and
those that nobody waits for stand in one queue (`drain`). What Nova puts into threads is done at
once. Networks and images are as simple as they can be.

It is a program of its own that imports this file: Nova's options and ours do not go together.
"""

# mypy: disable-error-code="import-not-found"

import contextlib
import json
import shutil
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = "5b1d9a5e5a5a4c0f8c0f6f4b0f5d3c11"
IMAGE = "c0ffee00-0000-4000-8000-000000000001"
CELL0 = "00000000-0000-0000-0000-000000000000"
DEFAULTS = """
[DEFAULT]
transport_url = fake://
service_down_time = 100000000
compute_driver = fake.FakeDriver
state_path = {folder}
[oslo_concurrency]
lock_path = {folder}/lock
[api_database]
connection = sqlite:///{folder}/api.sqlite
sqlite_synchronous = false
[database]
connection = sqlite:///{folder}/cell0.sqlite
sqlite_synchronous = false
[placement_database]
connection = sqlite:///{folder}/placement.sqlite
sqlite_synchronous = false
[filter_scheduler]
enabled_filters = {filters}
shuffle_best_same_weighed_hosts = false
track_instance_changes = false
[quota]
instances = -1
cores = -1
ram = -1
[compute]
consecutive_build_service_disable_threshold = 0
[workarounds]
skip_cpu_compare_at_startup = true
"""
FILTERS = (
    "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,"
    "ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter,NUMATopologyFilter,"
    "PciPassthroughFilter"
)


def load() -> None:
    """Import most of Nova and Placement, so that what is forked later has it."""
    from importlib import import_module

    for name in (
        "nova.compute.manager",
        "nova.conductor.manager",
        "nova.scheduler.manager",
        "nova.virt.fake",
        "placement.deploy",
    ):
        import_module(name)


class Networks:
    """What Nova asks of Neutron, with nothing behind it."""

    def validate_networks(self, _context: Any, _networks: Any, count: int) -> int:
        return count

    def create_resource_requests(self, _context: Any, *_: Any, **__: Any) -> Any:
        from nova import objects

        return objects.NetworkMetadata(physnets=set(), tunneled=False), [], None

    def allocate_for_instance(self, _context: Any, instance: Any, *_: Any, **__: Any) -> Any:
        from nova.network import model

        return model.NetworkInfo()

    def get_instance_nw_info(self, context: Any, instance: Any, **_: Any) -> Any:
        return self.allocate_for_instance(context, instance)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Answer nothing to all else: there is no such port, extension or need."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


class Images:
    """One image, for whoever asks."""

    properties: dict[str, str] = {"hw_firmware_type": "uefi"}  # noqa: RUF012 - replaced, not changed

    def get(self, _context: Any, _image: Any, **_: Any) -> dict[str, Any]:
        return {
            "id": IMAGE,
            "name": "image",
            "status": "active",
            "min_ram": 0,
            "min_disk": 0,
            "size": 1,
            "container_format": "bare",
            "disk_format": "raw",
            "properties": self.properties,
            "owner": PROJECT,
            "visibility": "public",
            "checksum": None,
            "created_at": None,
            "updated_at": None,
            "deleted": False,
            "deleted_at": None,
        }

    def generate_image_url(self, image: str, *_: Any) -> str:
        return f"http://images/{image}"


class Answer:
    """What Placement answered, as Nova reads it."""

    def __init__(self, response: Any) -> None:
        self.status_code: int = response.status_int
        self.text: str = response.text
        self.headers, self._response = response.headers, response
        self.content = response.body

    def __bool__(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        return self._response.json_body


class Adapter:
    """What Nova asks Placement by."""

    def __init__(self, nova: "MiniNova") -> None:
        self._nova = nova

    def get(self, url: str, **words: Any) -> Answer:
        return self._nova.ask_placement("GET", url, None, words.get("microversion"))

    def delete(self, url: str, **words: Any) -> Answer:
        return self._nova.ask_placement("DELETE", url, None, words.get("microversion"))

    def post(self, url: str, json: Any = None, **words: Any) -> Answer:
        return self._nova.ask_placement("POST", url, json, words.get("microversion"))

    def put(self, url: str, json: Any = None, **words: Any) -> Answer:
        return self._nova.ask_placement("PUT", url, json, words.get("microversion"))


class Client:
    """A client of RPC that calls whom it would send a message."""

    def __init__(self, nova: "MiniNova", target: Any, serializer: Any) -> None:
        self.nova, self.target, self.serializer = nova, target, serializer
        self.version_cap = self.call_monitor_timeout = None

    def prepare(self, **words: Any) -> "Client":
        known = {key: words[key] for key in ("server", "topic", "fanout") if key in words}
        return Client(self.nova, self.target(**known), self.serializer)

    def can_send_version(self, _version: str) -> bool:
        return True

    def call(self, context: Any, method: str, **words: Any) -> Any:
        return self._send(context, method, words)()

    def cast(self, context: Any, method: str, **words: Any) -> None:
        self.nova.sent.append(self._send(context, method, words))

    def _send(self, context: Any, method: str, words: dict[str, Any]) -> Callable[[], Any]:
        """Serialise a message; return what takes it and gives the answer."""
        from nova import context as nova_context
        from oslo_messaging.rpc import dispatcher  # type: ignore[import-untyped]

        def send(entity: Any) -> Any:
            plain = self.serializer.serialize_entity(context, entity)
            return json.loads(json.dumps(plain, default=str))

        sent = {key: send(value) for key, value in words.items()}
        manager, inside = self.nova.find_manager(self.target)
        other = nova_context.RequestContext.from_dict(
            json.loads(json.dumps(context.to_dict(), default=str))
        )

        def take() -> Any:
            with inside():
                got = {
                    key: self.serializer.deserialize_entity(other, one) for key, one in sent.items()
                }
                try:
                    found = getattr(manager, method)(other, **got)
                except dispatcher.ExpectedException as exc:
                    raise exc.exc_info[1] from None
            return self.serializer.deserialize_entity(
                context, json.loads(json.dumps(self.serializer.serialize_entity(other, found)))
            )

        return take


class MiniNova:
    """It."""

    def __init__(self, folder: Path, conf: str = "", filters: str = FILTERS) -> None:
        """Make the databases, and start all but the hosts.

        Args:
            folder: of files.
            conf: more of nova.conf.
            filters: of the scheduler.
        """
        self.folder = folder
        self.conf = folder / "nova.conf"
        self.conf.write_text(DEFAULTS.format(folder=folder, filters=filters) + conf)
        self.cells: dict[str, Any] = {}
        self.cell_of: dict[str, str] = {}
        self.computes: dict[str, Any] = {}
        self.managers: dict[str, Any] = {}
        self.conductors: dict[str, Any] = {}  #: of cells
        self.sent: deque[Callable[[], Any]] = deque()  #: messages that nobody waits for
        self.current = ""  #: the cell whose service runs now
        self.networks = Networks()
        self._make_databases()
        self._replace()
        self._start()

    def url(self, name: str) -> str:
        return f"sqlite:///{self.folder / name}.sqlite"

    def _make_databases(self) -> None:
        """Make the tables, once for all."""
        from nova import config, objects
        from nova.db.api import models as api
        from nova.db.main import models as main

        config.parse_args(["nova", "--config-file", str(self.conf)])
        objects.register_all()
        for name, base in (("api", api.BASE), ("cell0", main.BASE)):
            self._make_tables(name, base.metadata)
        self.placement = self._open_placement()

    def _make_tables(self, name: str, metadata: Any) -> None:
        import sqlalchemy as sa

        template = self.folder.parent.parent / f"template-{name.rstrip('0123456789')}.sqlite"
        if not template.exists():
            engine = sa.create_engine(f"sqlite:///{template}")
            for table in metadata.tables.values():
                table.indexes.clear()  # one of them needs prefixes that only migrations give
            metadata.create_all(engine)
            engine.dispose()
        shutil.copyfile(template, self.folder / f"{name}.sqlite")

    def _open_placement(self) -> Any:
        from oslo_config import cfg
        from oslo_policy import opts as policy_opts
        from placement import conf, db_api, deploy
        from placement.db.sqlalchemy import migration

        options = cfg.ConfigOpts()
        conf.register_opts(options)
        policy_opts.set_defaults(options)
        options.set_override("connection", self.url("placement"), group="placement_database")
        options([], default_config_files=[], default_config_dirs=[])
        options.set_override("auth_strategy", "noauth2", group="api")
        options.set_override("max_allocation_candidates", 100000, group="placement")
        db_api.configure(options)
        template = self.folder.parent.parent / "template-placement.sqlite"
        own = self.folder / "placement.sqlite"
        if template.exists():
            shutil.copyfile(template, own)
            deploy.update_database(options)
        else:
            migration.create_schema(db_api.get_placement_engine())
            deploy.update_database(options)
            shutil.copyfile(own, template)
        return deploy.loadapp(options)

    def ask_placement(
        self, method: str, url: str, body: Any = None, version: str | None = None
    ) -> Answer:
        import webob

        headers = {
            "openstack-api-version": f"placement {version or '1.0'}",
            "x-auth-token": "admin",
            "accept": "application/json",
        }
        request = webob.Request.blank(url, method=method, headers=headers)
        if body is not None:
            request.json_body = body
            request.content_type = "application/json"
        return Answer(request.get_response(self.placement))

    def _replace(self) -> None:
        """Have Nova reach others by calls."""
        import futurist
        from nova import rpc, thread_pool_factory
        from nova.image import glance
        from nova.network import neutron
        from nova.scheduler.client import report

        nova = self

        class Reports(report.SchedulerReportClient):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(adapter=Adapter(nova))

        class Router:
            def __init__(self, default: Client) -> None:
                self.default = default

            def client(self, _context: Any) -> Client:
                return self.default

        def spawn_on(_kind: Any, function: Callable[..., Any], *args: Any, **words: Any) -> Any:
            future: Any = futurist.Future()
            try:
                future.set_result(function(*args, **words))
            except Exception as exc:  # noqa: BLE001 - as a pool does
                future.set_exception(exc)
            return future

        def get_client(target: Any, *_: Any, serializer: Any = None, **__: Any) -> Client:
            return Client(nova, target, serializer)

        from oslo_messaging.rpc import client

        rpc.CONF.register_opts(client._client_opts)
        rpc.init(rpc.CONF)
        report.SchedulerReportClient = Reports
        rpc.get_client, rpc.ClientRouter = get_client, Router
        thread_pool_factory.spawn_on = spawn_on
        neutron.API = lambda *_, **__: nova.networks
        glance.API = Images

    def _start(self) -> None:
        from nova import context, objects
        from nova.compute import api
        from nova.compute import rpcapi as compute_rpcapi
        from nova.conductor import manager as conductor
        from nova.scheduler import manager as scheduler

        compute_rpcapi.LAST_VERSION = "6.4"
        self.admin = context.RequestContext("admin", PROJECT, is_admin=True)
        self._map_cell("cell0", CELL0)
        self.managers["scheduler"] = scheduler.SchedulerManager()
        super_conductor = conductor.ConductorManager(host="super")
        self.managers["conductor"] = super_conductor
        self.task = super_conductor.additional_endpoints[0]
        self.api = api.API()
        self.flavors: dict[str, Any] = {}
        self._objects = objects

    def _map_cell(self, name: str, own: str) -> Any:
        from nova import objects
        from nova.db.main import api as main

        mapping = objects.CellMapping(
            self.admin,
            uuid=own,
            name=name,
            database_connection=self.url(name),
            transport_url="none:///",
            disabled=False,
        )
        mapping.create()
        self.cells[name] = (mapping, main.create_context_manager(self.url(name)))
        return mapping

    def add_cell(self, name: str) -> None:
        """Add a cell with its conductor, and have everybody know it."""
        from nova import context
        from nova.conductor import manager as conductor
        from nova.db.main import models as main

        self._make_tables(name, main.BASE.metadata)
        self._map_cell(name, str(uuid.uuid5(uuid.NAMESPACE_DNS, name)))
        with self.inside(name):
            own = conductor.ConductorManager(host=f"conductor-{name}")
        self.conductors[name] = own.additional_endpoints[0]
        context.CELLS = []
        self.managers["scheduler"].host_manager.refresh_cells_caches()

    @contextlib.contextmanager
    def inside(self, cell: str) -> Iterator[None]:
        """Let `[database] connection` be that of a cell."""
        from nova.db.main import api as main

        before, main.context_manager = main.context_manager, self.cells[cell][1]
        outside, self.current = self.current, cell
        try:
            yield
        finally:
            main.context_manager, self.current = before, outside

    def drain(self) -> None:
        """Have messages taken until there are none left; what one raises is its own affair."""
        while self.sent:
            with contextlib.suppress(Exception):
                self.sent.popleft()()

    def find_manager(self, target: Any) -> tuple[Any, Callable[[], Any]]:
        """Return who takes the messages of a target, and where its database is."""
        if target.topic.startswith("compute"):
            host = target.server
            return self.computes[host], lambda: self.inside(self.cell_of[host])
        if target.topic == "conductor" and getattr(target, "namespace", "") == "compute_task":
            own = self.current if self.current in self.conductors else "cell0"
            return self.conductors.get(own, self.task), lambda: self.inside(own)
        return self.managers[target.topic], lambda: self.inside("cell0")

    def add_host(self, cell: str, host: str, driver: Callable[[Any], Any]) -> None:
        """Start a nova-compute in a cell, and map it.

        Args:
            cell: its name.
            host: its name.
            driver: makes the virt driver.
        """
        from nova import objects, service
        from nova.compute import manager
        from nova.virt import driver as virt

        load, virt.load_compute_driver = virt.load_compute_driver, lambda api, _=None: driver(api)
        try:
            with self.inside(cell):
                compute = manager.ComputeManager(host=host)
                self.computes[host], self.cell_of[host] = compute, cell
                compute.init_host(None)
                service._create_service_ref(
                    type("This", (), {"host": host, "binary": "nova-compute", "topic": "compute"}),
                    self.admin,
                )
                own = objects.Service.get_by_host_and_binary(self.admin, host, "nova-compute")
                own.report_count = 1
                own.save()
                compute.pre_start_hook(own)
        finally:
            virt.load_compute_driver = load
        objects.HostMapping(self.admin, host=host, cell_mapping=self.cells[cell][0]).create()

    def report(self) -> None:
        """Have each host report once more what it has."""
        for host, compute in self.computes.items():
            with self.inside(self.cell_of[host]):
                compute.update_available_resource(self.admin)

    def make_flavor(self, flavor: dict[str, Any]) -> Any:
        """Make a flavor."""
        from nova import objects

        made = objects.Flavor(
            self.admin,
            flavorid=flavor["flavorid"],
            name=flavor["name"],
            memory_mb=flavor["ram_mib"],
            vcpus=flavor["vcpus"],
            root_gb=flavor["disk_gib"],
            ephemeral_gb=flavor["ephemeral_gib"],
            swap=flavor["swap_mib"],
            rxtx_factor=1.0,
            is_public=True,
            disabled=False,
            extra_specs=flavor["extra_specs"],
        )
        made.create()
        self.flavors[flavor["name"]] = made
        return made

    def boot(self, flavor: str, networks: Any = None) -> str:
        """Boot a server as nova-api does; return its uuid."""
        from nova import context, objects

        user = context.RequestContext("user", PROJECT, is_admin=False, roles=["member"])
        none = objects.NetworkRequestList(objects=[objects.NetworkRequest(network_id="none")])
        made, _ = self.api.create(
            user,
            flavor=objects.Flavor.get_by_name(self.admin, flavor),
            image_href=IMAGE,
            display_name=flavor,
            requested_networks=networks or none,
            security_groups=[],
            scheduler_hints={},
        )
        self.drain()
        return str(made[0].uuid)

    def delete(self, server: str) -> None:
        """Delete a server as nova-api does."""
        from nova import context, objects

        mapping = objects.InstanceMapping.get_by_instance_uuid(self.admin, server)
        with context.target_cell(self.admin, mapping.cell_mapping) as inside:
            one = objects.Instance.get_by_uuid(inside, server)
            self.api.delete(inside, one)
        self.drain()

    def show(self, server: str) -> dict[str, Any]:
        """Tell where a server is, and how it is; the fault of one that failed."""
        from nova import context, objects

        mapping = objects.InstanceMapping.get_by_instance_uuid(self.admin, server)
        if mapping.cell_mapping is None:
            return {"cell": None, "state": "building", "host": None, "fault": ""}
        with context.target_cell(self.admin, mapping.cell_mapping) as inside:
            one = objects.Instance.get_by_uuid(inside, server)
            return {
                "cell": mapping.cell_mapping.name,
                "state": one.vm_state,
                "host": one.host,
                "fault": one.fault.message if one.fault else "",
            }
