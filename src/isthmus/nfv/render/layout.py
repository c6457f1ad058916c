"""What each layout makes of a plan's files: where they go, and what a deployment tool is given.

On hosts of packages everything goes into folders of further files, and nothing of a person's is
edited. Containers of Kolla and TripleO have one file of options that their deployment tool has
written: options are merged into it, and the tool's own overrides are rendered beside it, so that
its next run keeps them. edpm-ansible's Nova reads a folder again.

Sources:
    kolla-ansible, "Advanced Configuration" (node_custom_config) and roles nova-cell, neutron;
    tripleo-heat-templates, deployment/nova, deployment/openvswitch (OvsDpdk*), KernelArgs;
    edpm-ansible, roles edpm_nova, edpm_ovs_dpdk, edpm_kernel, edpm_tuned (argument_specs.yml).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv.render import files


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file of options goes."""

    path: str
    merge: bool = False  #: into what is there, option by option


@dataclass(frozen=True, slots=True)
class Places:
    """Where a layout has its options, and what is restarted for them, the first that is there."""

    nova: Place
    ovs_agent: Place
    sriov_agent: Place
    nova_units: tuple[str, ...]
    ovs_agent_units: tuple[str, ...]
    sriov_agent_units: tuple[str, ...]
    #: Old options are taken out of these: globs.
    nova_files: str


PUPPET = "/var/lib/config-data/puppet-generated"
PLACES: Mapping[Layout, Places] = {
    Layout.PLAIN: Places(
        Place(files.NOVA),
        Place(files.OVS_AGENT),
        Place(files.SRIOV_AGENT),
        ("nova-compute", "openstack-nova-compute"),
        ("neutron-openvswitch-agent",),
        ("neutron-sriov-agent", "neutron-sriov-nic-agent"),
        "/etc/nova/*.conf /etc/nova/nova.conf.d/*.conf",
    ),
    Layout.KOLLA: Places(
        Place("/etc/kolla/nova-compute/nova.conf", merge=True),
        Place("/etc/kolla/neutron-openvswitch-agent/openvswitch_agent.ini", merge=True),
        Place("/etc/kolla/neutron-sriov-agent/sriov_agent.ini", merge=True),
        ("kolla-nova_compute-container", "nova_compute"),
        ("kolla-neutron_openvswitch_agent-container", "neutron_openvswitch_agent"),
        ("kolla-neutron_sriov_agent-container", "neutron_sriov_agent"),
        "/etc/kolla/nova-compute/nova.conf",
    ),
    Layout.TRIPLEO: Places(
        Place(f"{PUPPET}/nova_libvirt/etc/nova/nova.conf", merge=True),
        Place(f"{PUPPET}/neutron/etc/neutron/plugins/ml2/openvswitch_agent.ini", merge=True),
        Place(f"{PUPPET}/neutron/etc/neutron/plugins/ml2/sriov_agent.ini", merge=True),
        ("tripleo_nova_compute", "nova_compute"),
        ("tripleo_neutron_ovs_agent", "neutron_ovs_agent"),
        ("tripleo_neutron_sriov_agent", "neutron_sriov_agent"),
        f"{PUPPET}/nova_libvirt/etc/nova/nova.conf",
    ),
    Layout.RHOSO: Places(
        Place("/var/lib/openstack/config/nova/60-isthmus-nfv.conf"),
        Place("/var/lib/openstack/config/neutron-ovs-agent/60-isthmus-nfv.conf"),
        Place("/var/lib/openstack/config/neutron-sriov-agent/60-isthmus-nfv.conf"),
        ("edpm_nova_compute", "nova_compute"),
        ("edpm_neutron_ovs_agent", "neutron_ovs_agent"),
        ("edpm_neutron_sriov_agent", "neutron_sriov_agent"),
        "/var/lib/openstack/config/nova/*.conf",
    ),
}


def owned_paths(layout: Layout) -> dict[str, str | None]:
    """Map paths of options on a host of packages to a layout's; None: merged into a file."""
    places = PLACES[layout]
    pairs = (
        (files.NOVA, places.nova),
        (files.OVS_AGENT, places.ovs_agent),
        (files.SRIOV_AGENT, places.sriov_agent),
    )
    return {path: None if place.merge else place.path for path, place in pairs}
