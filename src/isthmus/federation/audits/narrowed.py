"""What an audit of one network compares besides what is on it. Pure."""

from collections.abc import Iterator

from isthmus.federation.audits.holdings import Holdings
from isthmus.model.resource import ResourceType


def list_named(central: Holdings) -> frozenset[str]:
    """List the ids of what central's networks and ports name: groups, QoS policies, trunks.

    A site may name others, where a port of its differs; of those it is not asked.
    """
    return frozenset(_named(central))


def _named(central: Holdings) -> Iterator[str]:
    groups = central.objects[ResourceType.SECURITY_GROUP]
    for row in (*central.networks.values(), *central.ports.values()):
        yield str(row.get("qos_policy_id"))
        for group_id in row.get("security_groups") or ():
            yield group_id
            for rule in groups.get(group_id, {}).get("rule_texts") or ():
                yield from rule.split()  # the groups and address groups among its words
    for trunk_id, trunk in central.objects[ResourceType.TRUNK].items():
        members = {trunk["port_id"], *(one.split()[-1] for one in trunk["sub_ports"])}
        if members & central.ports.keys():
            yield trunk_id
