"""Rows of cells as what Nova's view reads of an instance.

`Instance._from_db_object` sets sixty fields one by one, each checked and noted as changed, and each
is read through a property. What a database of Nova gives was checked when it was written.

Source:
    nova 34.0.0: `nova.objects.instance`, `nova.api.openstack.compute.views.servers`.
"""

import datetime
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import nova.conf
from nova import objects
from nova.network import model as network_model
from typing_extensions import override

from isthmus.model.compute.server import ServerRow

CONF = nova.conf.CONF

_TIMES = ("created_at", "updated_at", "deleted_at", "launched_at", "terminated_at")


class Shown:
    """A server that a cell has, to whoever only reads it as they would read an `Instance`."""

    def __init__(self, values: dict[str, Any]) -> None:
        """Have these attributes."""
        self.__dict__ = values

    def __getitem__(self, name: str) -> Any:
        """Return an attribute."""
        return self.__dict__[name]

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such an attribute."""
        return name in self.__dict__

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or the default."""
        return self.__dict__.get(name, default)

    @staticmethod
    def obj_name() -> str:
        """Say to lists of instances that it is one."""
        return "Instance"

    @property
    def name(self) -> str:
        """The name that a hypervisor knows, by Nova's template."""
        template = CONF.instance_name_template
        try:
            return str(template % self.__dict__["id"])
        except TypeError:  # one by names of fields
            pass
        try:
            return str(template % self.__dict__)
        except KeyError:
            return str(self.__dict__["uuid"])

    def get_flavor(self) -> Any:
        """Return the flavor that it has now."""
        return _make_flavor(self.__dict__["flavor"])

    def get_network_info(self) -> Any:
        """Return its interfaces, as they were cached last."""
        return network_model.NetworkInfo.hydrate(self.__dict__["network_info"] or "[]")


class Instances(objects.InstanceList):
    """A list of instances that brings the faults and volumes of those that cells gave."""

    @override
    def fill_faults(self) -> list[str]:
        """Leave the faults as they were read: no cell is asked once more."""
        for one in self:
            if "fault" not in one:
                one.fault = None
        return []

    def list_volumes(self) -> dict[str, list[dict[str, Any]]]:
        """List the volumes of each server."""
        return {one["uuid"]: one["volumes"] for one in self if isinstance(one, Shown)}


class Makers:
    """Servers out of rows, for one request; what many servers share is made once."""

    def __init__(self, context: Any) -> None:
        """Make them for a request's context."""
        self._context = context
        self._services: dict[str, Any] = {}

    def make(self, row: ServerRow) -> Shown:
        """Make what is shown of one server."""
        values = row.values
        for name in _TIMES:
            if values[name] is not None:
                values[name] = values[name].replace(tzinfo=datetime.UTC)
        values["deleted"] = values["deleted"] == values["id"]
        values["fault"] = self._make_fault(values["faults"])
        if "tags" in values:
            values["tags"] = [_make_tag(one) for one in values["tags"]]
        if "trusted_certs" in values:
            values["trusted_certs"] = _make_certs(values["trusted_certs"] or "")
        if "services" in values:
            values["services"] = self._find_services(values["services"])
        return Shown(values)

    def _make_fault(self, values: Mapping[str, Any]) -> Any:
        if not values:
            return None
        names = ("id", "instance_uuid", "code", "message", "details")
        created_at = values["created_at"].replace(tzinfo=datetime.UTC)
        return objects.InstanceFault(
            self._context, created_at=created_at, **{name: values[name] for name in names}
        )

    def _find_services(self, rows: Iterable[Mapping[str, Any]]) -> Any:
        of_host = list(rows)
        host = of_host[0]["host"] if of_host else ""
        if host not in self._services:
            self._services[host] = [
                objects.Service(
                    self._context,
                    host=one["host"],
                    binary=one["binary"],
                    disabled=bool(one["disabled"]),
                    forced_down=bool(one["forced_down"]),
                    created_at=one["created_at"],
                    last_seen_up=one["last_seen_up"],
                )
                for one in of_host
            ]
        return self._services[host]


@functools.lru_cache(maxsize=1024)
def _make_flavor(text: str) -> Any:
    """Make the flavor; servers of one flavor have the same text, and nobody changes it."""
    return objects.Flavor.obj_from_primitive(json.loads(text)["cur"]) if text else None


@functools.lru_cache(maxsize=1024)
def _make_tag(text: str) -> Any:
    return objects.Tag(tag=text)


@functools.lru_cache(maxsize=1024)
def _make_certs(text: str) -> Any:
    return objects.TrustedCerts.obj_from_primitive(json.loads(text)) if text else None
