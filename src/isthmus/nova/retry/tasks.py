"""The part of nova-conductor that builds servers, with tries in other cells.

One class serves as super conductor and as a cell's. The super conductor keeps what a build was
asked for while it lasts, looks at the servers in their cells, and takes one to another cell that
no host of its cell could build. A cell's conductor leaves such a server as it is for a while,
where somebody watches it, so that its user sees it building, and not an ERROR. A cell asks nobody
above it for anything; and whoever dies, the server is what Nova alone would have made of it.
"""

import copy
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import nova.conf
from nova import context as nova_context
from nova import exception, objects
from nova.compute import task_states, vm_states
from nova.compute import utils as compute_utils
from nova.conductor import manager
from nova.scheduler import utils as scheduler_utils
from oslo_log import log as logging
from typing_extensions import override

from isthmus.nova.retry import mark, moving, options

CONF = nova.conf.CONF
CONF.register_opts(options.OPTIONS, group=options.GROUP)
LOG = logging.getLogger(__name__)


@dataclass
class Watched:
    """One server that is being built, and all that its build was asked for."""

    context: Any
    uuid: str
    spec: Any
    image: Any
    admin_password: Any
    injected_files: Any
    requested_networks: Any
    since: float
    tried: list[str] = field(default_factory=list)  #: cells, by uuid


class Tasks(manager.ComputeTaskManager):
    """Nova's own, with tries in other cells."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        super().__init__()
        self._watched: dict[str, Watched] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    # As the super conductor.

    @override
    def schedule_and_build_instances(
        self,
        context: Any,
        build_requests: Any,
        request_specs: Any,
        image: Any,
        admin_password: Any,
        injected_files: Any,
        requested_networks: Any,
        block_device_mapping: Any,
        tags: Any = None,
    ) -> None:
        for request, spec in zip(build_requests, request_specs, strict=True):
            if CONF.isthmus.most_cells < 2 or _is_forced(spec):
                continue
            request.instance.system_metadata[mark.WATCHED] = "1"
            self._watch(
                Watched(
                    context,
                    spec.instance_uuid,
                    copy.deepcopy(spec),
                    image,
                    admin_password,
                    injected_files,
                    copy.deepcopy(requested_networks),
                    time.monotonic(),
                )
            )
        super().schedule_and_build_instances(
            context,
            build_requests,
            request_specs,
            image,
            admin_password,
            injected_files,
            requested_networks,
            block_device_mapping,
            tags,
        )

    def _watch(self, one: Watched) -> None:
        with self._lock:
            self._watched[one.uuid] = one
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_on, daemon=True)
                self._thread.start()

    def _look_on(self) -> None:
        while True:
            time.sleep(CONF.isthmus.retry_interval)
            try:
                self.look()
            except Exception:  # what one look cannot do the next may
                LOG.exception("Servers that are being built could not be looked at")

    def look(self) -> None:
        """Look once at all servers that are being built, and take those away that have to go."""
        with self._lock:
            watched = list(self._watched.values())
        for one in watched:
            try:
                goes_on = self._look_at(one)
            except Exception:
                LOG.exception("Server %s is not tried in another cell now", one.uuid)
                goes_on = True
            if not goes_on or time.monotonic() - one.since > CONF.isthmus.retry_watch:
                with self._lock:
                    self._watched.pop(one.uuid, None)

    def _look_at(self, one: Watched) -> bool:
        """Look at one server; return whether there is still something to look for."""
        admin = one.context.elevated()
        try:
            mapping = objects.InstanceMapping.get_by_instance_uuid(admin, one.uuid)
        except exception.InstanceMappingNotFound:
            return False
        cell = mapping.cell_mapping
        if cell is None or cell.is_cell0():
            return cell is None
        with nova_context.target_cell(admin, cell) as there:
            try:
                server = objects.Instance.get_by_uuid(there, one.uuid)
            except exception.InstanceNotFound:
                return False
            is_moving = mark.MOVING in server.system_metadata
            if not is_moving and not mark.is_exhausted(server):
                return not mark.is_over(server)
        if not is_moving and cell.uuid not in one.tried:
            one.tried.append(cell.uuid)
        if len(one.tried) >= CONF.isthmus.most_cells or not self._retry(admin, one, cell):
            self._give_up(admin, one, cell)
            return False
        return True

    def _retry(self, admin: Any, one: Watched, cell: Any) -> bool:
        """Try a server in another cell; return whether one has a host for it."""
        self.report_client.delete_allocation_for_instance(admin, one.uuid, force=True)
        spec = copy.deepcopy(one.spec)
        spec.retry = None
        spec.ignore_hosts = [
            *(spec.ignore_hosts or ()),
            *(
                host.host
                for host in objects.HostMappingList.get_all(admin)
                if host.cell_mapping.uuid in one.tried
            ),
        ]
        try:
            (hosts,) = self._schedule_instances(admin, spec, [one.uuid], return_alternates=True)
        except exception.NoValidHost:
            return False
        host = hosts.pop(0)
        target = objects.HostMapping.get_by_host(admin, host.service_host).cell_mapping
        try:
            moving.take(one.context, one.uuid, cell, target)
        except (exception.InstanceNotFound, exception.UnexpectedDeletingTaskStateError):
            self.report_client.delete_allocation_for_instance(admin, one.uuid, force=True)
            return True
        LOG.info(
            "Server %s is tried in cell %s, as no host of cell %s could build it",
            one.uuid,
            target.name,
            cell.name,
        )
        self._build(one, spec, target, host, hosts)
        return True

    def _build(self, one: Watched, spec: Any, target: Any, host: Any, hosts: Any) -> None:
        """Have a host build a server, as Nova does for one that was scheduled."""
        properties = spec.to_legacy_filter_properties_dict()
        scheduler_utils.populate_retry(properties, one.uuid)
        scheduler_utils.populate_filter_properties(properties, host)
        scheduler_utils.fill_provider_mapping(spec, host)
        with nova_context.target_cell(one.context, target) as here:
            server = objects.Instance.get_by_uuid(here, one.uuid)
            server.availability_zone = host.availability_zone
            server.system_metadata.pop(mark.MOVING, None)
            server.save()
            volumes = objects.BlockDeviceMappingList.get_by_instance_uuid(here, one.uuid)
            self._validate_existing_attachment_ids(here, server, volumes)
            self.compute_rpcapi.build_and_run_instance(
                here,
                instance=server,
                image=one.image,
                request_spec=spec,
                filter_properties=properties,
                admin_password=one.admin_password,
                injected_files=one.injected_files,
                requested_networks=one.requested_networks,
                security_groups=[group.identifier for group in spec.security_groups],
                block_device_mapping=volumes,
                host=host.service_host,
                node=host.nodename,
                limits=host.limits,
                host_list=hosts,
                accel_uuids=[],
            )

    def _give_up(self, admin: Any, one: Watched, cell: Any) -> None:
        """Let a server be the ERROR that Nova makes of it."""
        with nova_context.target_cell(admin, cell) as there:
            server = objects.Instance.get_by_uuid(there, one.uuid)
            _end(server)

    # As the conductor of a cell.

    @override
    def _cleanup_when_reschedule_fails(
        self,
        context: Any,
        instance: Any,
        error: Any,
        legacy_request_spec: Any,
        requested_networks: Any,
    ) -> None:
        if not isinstance(error, exception.MaxRetriesExceeded) or not mark.is_watched(instance):
            super()._cleanup_when_reschedule_fails(
                context, instance, error, legacy_request_spec, requested_networks
            )
            return
        compute_utils.add_instance_fault_from_exc(context, instance, error)
        self._cleanup_allocated_networks(context, instance, requested_networks)
        instance.system_metadata[mark.EXHAUSTED] = "1"
        instance.vm_state, instance.task_state = vm_states.BUILDING, task_states.SCHEDULING
        instance.save()
        patience = CONF.isthmus.retry_patience
        timer = threading.Timer(patience, self._lose_patience, [context, instance])
        timer.daemon = True
        timer.start()

    def _lose_patience(self, context: Any, instance: Any) -> None:
        try:
            server = objects.Instance.get_by_uuid(context, instance.uuid)
        except exception.InstanceNotFound:
            return
        if mark.is_exhausted(server):
            _end(server)


def _end(server: Any) -> None:
    """Make an ERROR of a server that no host could build; its fault is there already."""
    server.system_metadata.pop(mark.EXHAUSTED, None)
    server.system_metadata.pop(mark.WATCHED, None)
    server.vm_state, server.task_state = vm_states.ERROR, None
    server.save()


def _is_forced(spec: Any) -> bool:
    """Tell whether a user or an administrator has said where a server is to be."""
    return bool(
        ("force_hosts" in spec and spec.force_hosts)
        or ("force_nodes" in spec and spec.force_nodes)
        or ("requested_destination" in spec and spec.requested_destination)
    )
