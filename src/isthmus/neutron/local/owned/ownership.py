"""What belongs to central is changed at central: the calls of Neutron's that would change it here.

Each one asks first whether the object is central's. What this process does on central's behalf
passes (`applying`). Whatever comes by another way is refused where rows are written
(`flush_guard`).
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from neutron.plugins.ml2 import plugin as ml2_plugin

from isthmus.federation.identity import default_security_group_id
from isthmus.model.intent import ResourceType
from isthmus.neutron.local import quota
from isthmus.neutron.local.owned import applying, guards


class Ownership(ml2_plugin.Ml2Plugin):
    """ML2 that lets nobody but central change what is central's."""

    def update_network(self, context: Any, id: str, network: Any) -> dict[str, Any]:
        """Change a network of the site's own."""
        guards.check_owner(context, ResourceType.NETWORK, [id])
        changed: dict[str, Any] = super().update_network(context, id, network)
        return changed

    def delete_network(self, context: Any, id: str) -> None:
        """Remove a network of the site's own."""
        guards.check_owner(context, ResourceType.NETWORK, [id])
        super().delete_network(context, id)

    def create_subnet(self, context: Any, subnet: Any) -> dict[str, Any]:
        """Make a subnet on a network of the site's own."""
        guards.check_owner(context, ResourceType.NETWORK, [subnet["subnet"]["network_id"]])
        made: dict[str, Any] = super().create_subnet(context, subnet)
        return made

    def create_subnet_bulk(self, context: Any, subnets: Any) -> list[dict[str, Any]]:
        """Make subnets on networks of the site's own."""
        networks = {one["subnet"]["network_id"] for one in subnets["subnets"]}
        guards.check_owner(context, ResourceType.NETWORK, networks)
        made: list[dict[str, Any]] = super().create_subnet_bulk(context, subnets)
        return made

    def update_subnet(self, context: Any, id: str, subnet: Any) -> dict[str, Any]:
        """Change a subnet of the site's own."""
        guards.check_owner(context, ResourceType.SUBNET, [id])
        changed: dict[str, Any] = super().update_subnet(context, id, subnet)
        return changed

    def delete_subnet(self, context: Any, id: str) -> None:
        """Remove a subnet of the site's own."""
        guards.check_owner(context, ResourceType.SUBNET, [id])
        super().delete_subnet(context, id)

    def create_security_group(
        self, context: Any, security_group: Any, default_sg: bool = False
    ) -> dict[str, Any]:
        """Make a security group; a default one gets the id that it has in every tier.

        Neutron makes a project's default group when it first makes or changes a port of it. It is
        the same group as central's, whose rules were counted there: a site's own quota does not
        keep it, and the port with it, away.
        """
        body = security_group["security_group"]
        if default_sg:
            body["id"] = default_security_group_id(body["project_id"])
        with quota.exempt() if default_sg else contextlib.nullcontext():
            made: dict[str, Any] = super().create_security_group(
                context, security_group, default_sg
            )
        return made

    def _create_rules_from_template(
        self, context: Any, project_id: str, sg: Any, default_sg: bool
    ) -> None:
        """Give a new group its first rules; one of central's gets the ones it has there."""
        item = applying.current()
        if item is None or item.id != sg.id:
            super()._create_rules_from_template(context, project_id, sg, default_sg)

    def update_security_group(self, context: Any, id: str, security_group: Any) -> dict[str, Any]:
        """Change a security group of the site's own."""
        guards.check_owner(context, ResourceType.SECURITY_GROUP, [id])
        changed: dict[str, Any] = super().update_security_group(context, id, security_group)
        return changed

    def delete_security_group(self, context: Any, id: str) -> None:
        """Remove a security group of the site's own."""
        guards.check_owner(context, ResourceType.SECURITY_GROUP, [id])
        super().delete_security_group(context, id)

    def create_security_group_rule(self, context: Any, security_group_rule: Any) -> dict[str, Any]:
        """Add a rule to a security group of the site's own."""
        self._check_rules(context, [security_group_rule])
        made: dict[str, Any] = super().create_security_group_rule(context, security_group_rule)
        return made

    def create_security_group_rule_bulk(
        self, context: Any, security_group_rules: Any
    ) -> list[dict[str, Any]]:
        """Add rules to security groups of the site's own."""
        self._check_rules(context, security_group_rules["security_group_rules"])
        made: list[dict[str, Any]] = super().create_security_group_rule_bulk(
            context, security_group_rules
        )
        return made

    def _check_rules(self, context: Any, rules: Sequence[Any]) -> None:
        groups = {one["security_group_rule"]["security_group_id"] for one in rules}
        guards.check_owner(context, ResourceType.SECURITY_GROUP, groups)

    def delete_security_group_rule(self, context: Any, id: str) -> None:
        """Remove a rule of a security group of the site's own."""
        group_id = guards.find_group_of_rule(context, id)
        if group_id is not None:
            guards.check_owner(context, ResourceType.SECURITY_GROUP, [group_id])
        super().delete_security_group_rule(context, id)

    def update_address_group(self, context: Any, id: str, address_group: Any) -> dict[str, Any]:
        """Change an address group of the site's own."""
        guards.check_owner(context, ResourceType.ADDRESS_GROUP, [id])
        changed: dict[str, Any] = super().update_address_group(context, id, address_group)
        return changed

    def add_addresses(self, context: Any, address_group_id: str, addresses: Any) -> dict[str, Any]:
        """Add addresses to an address group of the site's own."""
        guards.check_owner(context, ResourceType.ADDRESS_GROUP, [address_group_id])
        changed: dict[str, Any] = super().add_addresses(context, address_group_id, addresses)
        return changed

    def remove_addresses(
        self, context: Any, address_group_id: str, addresses: Any
    ) -> dict[str, Any]:
        """Remove addresses from an address group of the site's own."""
        guards.check_owner(context, ResourceType.ADDRESS_GROUP, [address_group_id])
        changed: dict[str, Any] = super().remove_addresses(context, address_group_id, addresses)
        return changed

    def delete_address_group(self, context: Any, id: str) -> None:
        """Remove an address group of the site's own."""
        guards.check_owner(context, ResourceType.ADDRESS_GROUP, [id])
        super().delete_address_group(context, id)

    def create_rbac_policy(self, context: Any, rbac_policy: Any) -> dict[str, Any]:
        """Share something of the site's own."""
        body = rbac_policy["rbac_policy"]
        kind = guards.SHAREABLE.get(body["object_type"])
        if kind is not None:
            guards.check_owner(context, kind, [body["object_id"]])
        made: dict[str, Any] = super().create_rbac_policy(context, rbac_policy)
        return made

    def update_rbac_policy(self, context: Any, id: str, rbac_policy: Any) -> dict[str, Any]:
        """Share something of the site's own differently."""
        self._check_rbac(context, id)
        changed: dict[str, Any] = super().update_rbac_policy(context, id, rbac_policy)
        return changed

    def delete_rbac_policy(self, context: Any, id: str) -> None:
        """Stop sharing something of the site's own."""
        self._check_rbac(context, id)
        super().delete_rbac_policy(context, id)

    def _check_rbac(self, context: Any, policy_id: str) -> None:
        found = guards.find_rbac_object(context, policy_id)
        if found is not None:
            guards.check_owner(context, guards.SHAREABLE[found[0]], [found[1]])
