"""Which of a site's Neutron processes serve the API: only those connect to central.

And which one is the worker that brings back what OVN lost.
"""

from typing import Any

from neutron.common.ovn import utils as ovn_utils

#: Neutron's class of workers that serve the API, by name: the trigger of `AFTER_INIT`.
_API_WORKER = "WorkerService"
_MAINTENANCE_WORKER = "MaintenanceWorker"


def serves_api(trigger: Any) -> bool:
    """Return whether the process whose start triggered a callback serves the API."""
    return bool(ovn_utils.get_class(trigger).__name__ == _API_WORKER)


def maintains_ovn(trigger: Any) -> bool:
    """Return whether the process that starts is Neutron's maintenance worker."""
    return bool(ovn_utils.get_class(trigger).__name__ == _MAINTENANCE_WORKER)
