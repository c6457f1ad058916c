"""Remedies of differences that several parts of the audit tell; each is filled in with the site."""

from collections.abc import Collection, Mapping

#: The site is to get what central has.
SENT = "`isthmus site resync {0}` sends it now; if it stays, see `isthmus job list --site {0}`."
#: The site is to lose what it has.
GOES = (
    "`isthmus site resync {0}` has it removed now; if it stays, see `isthmus job list --site {0}`."
)
#: Central is to hear what the site has.
REPORTED = (
    "`isthmus site resync {0}` has the site report it now; if it stays, see "
    "`isthmus job refused --site {0}`."
)
#: OVN lost a row of Neutron's, and nothing that Neutron notes shows it: its maintenance worker does
#: not write it.
LOST = (
    "Where the Neutron of {0} runs: isthmus-ovn-db-sync-util "
    "--config-file /etc/neutron/neutron.conf --repair"
)


def say_deletions(at_central: Collection[str], ports: Mapping[str, str]) -> str:
    """Write the commands of which each deletes one port: at central, which deletes it everywhere.

    Args:
        at_central: the ports that central has; it cannot delete one of which it has not heard.
        ports: by id, a tier that has it.
    """
    return " or ".join(
        f"`openstack port delete {port}`"
        if port in at_central
        else f"`openstack --os-cloud {tier} port delete {port}`"
        for port, tier in sorted(ports.items())
    )
