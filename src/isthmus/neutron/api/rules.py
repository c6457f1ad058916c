"""Loads policy rules before the first request, not with it.

Neutron creates its policy engine at the first check, and a second request that arrives meanwhile is
checked by an engine without rules: 403 for an administrator (Source: `neutron.policy.init`, which
`neutron.pecan_wsgi.startup` leaves to the first request). Sites call as soon as central listens.
"""

from typing import Any

from neutron_lib.callbacks import events, registry, resources

from neutron import policy


def load_before_requests() -> None:
    """Have the rules loaded once this process is ready to serve."""
    registry.subscribe(_load, resources.PROCESS, events.AFTER_INIT)


def _load(*_event: Any, **_more: Any) -> None:
    policy.init()
