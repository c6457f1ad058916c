"""Neutron's metadata agent as it runs in a lab, where it is root and needs nobody's leave."""


def run() -> None:
    """Run it. What takes privileges is done in this process, not by helpers of its own."""
    from neutron.agent.ovn import metadata_agent

    from neutron import privileged

    for context in (
        privileged.default,
        privileged.ovs_vsctl_cmd,
        privileged.namespace_cmd,
        privileged.link_cmd,
    ):
        context.set_client_mode(enabled=False)
    metadata_agent.main()
