"""Where a bound port is: its hypervisor as OVN knows it."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.services.trunk import constants as trunk_constants

from isthmus.dataplane.rows import OvnRows
from isthmus.model.dataplane.ovn import LocalChassis

#: VIF types of ports that are not bound.
_UNBOUND = frozenset(
    {portbindings.VIF_TYPE_UNBOUND, portbindings.VIF_TYPE_BINDING_FAILED, "", None}
)
#: How long OVN's answer about a hypervisor is cached, in seconds.
_TTL_S = 30.0


class Locator:
    """Finds hypervisors in the southbound database and caches them for a while."""

    def __init__(
        self, rows: Callable[[], OvnRows], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Initialise.

        Args:
            rows: returns the site's OVN databases.
            clock: returns monotonic seconds.
        """
        self._rows = rows
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, LocalChassis]] = {}

    def locate(self, port: Mapping[str, Any], port_key: int | None) -> dict[str, Any] | None:
        """Return where a port is bound, in the form in which that is sent.

        Returns:
            None while it is not bound, or OVN does not know its hypervisor.
        """
        if port_key is None:
            return None
        if port.get("device_owner") == trunk_constants.TRUNK_SUBPORT_OWNER:
            chassis = self._find_bound(str(port["id"]))
        else:
            host = port.get(portbindings.HOST_ID)
            # OVN says which hypervisor has a gateway; ML2 need not have bound its port there.
            gateway = port.get("device_owner") == constants.DEVICE_OWNER_ROUTER_GW
            bound = host and (gateway or port.get(portbindings.VIF_TYPE) not in _UNBOUND)
            chassis = self._find(str(host)) if bound else None
        if chassis is None or not chassis.encap_ips:
            return None
        return {
            "chassis": chassis.name,
            "hostname": chassis.hostname,
            "encap_ip": chassis.encap_ips[0],
            "port_key": port_key,
        }

    def _find_bound(self, port_id: str) -> LocalChassis | None:
        """Return the hypervisor of a trunk's subport in OVN; ML2/OVN gives it no host."""
        rows = self._rows()
        binding = rows.find_binding(port_id)
        return rows.local_chassis().get(binding.chassis) if binding and binding.chassis else None

    def _find(self, host: str) -> LocalChassis | None:
        with self._lock:
            known = self._known.get(host)
        if known is not None and self._clock() < known[0]:
            return known[1]
        found = self._rows().find_host(host)
        if found is not None:
            with self._lock:
                self._known[host] = (self._clock() + _TTL_S, found)
        return found
