"""Policies that ports and networks of a site name: central's are fetched before they are needed.

Neutron looks a policy up in the transaction that makes the port or network, where nothing can be
fetched any more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.neutron.api.faults import to_fault
from isthmus.neutron.local.fetch.fetching import CentralUnreachable, Fetching, NotYet
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.person import acting_for
from isthmus.store.local import mapping

_POLICY = ResourceType.QOS_POLICY


class PolicyOnlyHere(n_exc.BadRequest):
    """A QoS policy that the other sites of a network would not know."""

    message = (
        "QoS policy %(policy)s is not known at central, and network %(network)s spans sites: make "
        "the policy at central and use that one"
    )


class Limiting(Fetching):
    """ML2 that asks central for QoS policies which ports and networks name."""

    def create_network(self, context: Any, network: Any) -> Any:
        """Create a network; fetch its policy first."""
        self._fetch_policies(context, [network["network"]])
        return super().create_network(context, network)

    def create_network_bulk(self, context: Any, networks: Any) -> Any:
        """Create networks; fetch their policies first."""
        self._fetch_policies(context, [one["network"] for one in networks["networks"]])
        return super().create_network_bulk(context, networks)

    def update_network(self, context: Any, id: str, network: Any) -> Any:
        """Update a network; fetch its policy first."""
        self._fetch_policies(context, [network["network"]])
        return super().update_network(context, id, network)

    def _fetch_policies(self, context: Any, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Fetch the policies that requests name and this site does not have."""
        named = sorted({one["qos_policy_id"] for one in bodies if one.get("qos_policy_id")})
        if named:
            self._fetch_missing(context, _POLICY, named)

    def _learn_policy(self, context: Any, port: Mapping[str, Any]) -> None:
        """Ensure that the policy of a port on a stretched network is central's, and whole here.

        Raises:
            PolicyOnlyHere: central does not know it.
            CentralUnreachable: central would have to be asked, and does not answer.
            NotYet: what central sent cannot be created at the moment.
        """
        policy_id = port.get("qos_policy_id")
        if not policy_id or applying.current() is not None:
            return
        with db_api.CONTEXT_READER.using(context):
            known = mapping.find_complete(context.session.connection(), _POLICY, [policy_id])
        if known:
            return
        try:
            with acting_for(context):
                came = self.on_demand.fetch(_POLICY, [policy_id], context.project_id)
        except errors.Stale as error:
            raise NotYet(reason=error.message) from error
        except errors.Transient as error:
            raise CentralUnreachable(
                reason=f"QoS policy {policy_id} is not known at site {self.site.site}, and "
                f"{error.message}"
            ) from error
        except errors.IsthmusError as error:
            raise to_fault(error) from error
        if policy_id not in came and self._is_here(context, policy_id):
            raise PolicyOnlyHere(policy=policy_id, network=port["network_id"])

    def _is_here(self, context: Any, policy_id: str) -> bool:
        """Return whether the user sees a policy here; else Neutron says that there is none."""
        from neutron_lib.plugins import directory

        plugin = directory.get_plugin("QOS")
        return plugin is not None and bool(plugin.get_policies(context, {"id": [policy_id]}))
