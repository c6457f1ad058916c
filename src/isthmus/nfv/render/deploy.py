"""A plan in the words of deployment tools, so that their next run keeps it.

Sources:
    kolla-ansible, "Advanced Configuration": files under node_custom_config, by service and host;
    tripleo-heat-templates and Red Hat's "Network Functions Virtualization Planning and
    Configuration Guide": parameters of a role; edpm-ansible, docs of edpm_ovs_dpdk, edpm_kernel,
    edpm_tuned and edpm_nova: ansibleVars of a node set, and nova.conf by a ConfigMap.
"""

import json
from typing import Any

import yaml

from isthmus.facts.cpuset import render_list
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.render import texts

KOLLA = "controller/kolla/etc/kolla/config"
TRIPLEO = "controller/tripleo/isthmus-nfv.yaml"
RHOSO = "controller/rhoso/isthmus-nfv.yaml"
#: oslo's sections -> the file in which Kolla's agents read them.
_AGENTS = {"ovs": "openvswitch_agent.ini", "sriov_nic": "sriov_agent.ini"}
#: What a plan's page sizes are called in TripleO's parameters.
ROLE = "ComputeNfvParameters"


def render_deploy(plan: HostPlan) -> dict[str, str]:
    """Return path -> content of what Kolla-Ansible, TripleO and RHOSO take."""
    found = {f"{KOLLA}/nova/{plan.host}/nova.conf": _ini(plan, dict(plan.nova))}
    for section, name in _AGENTS.items():
        mine = {key: one for key, one in plan.neutron.items() if key.startswith(f"{section}/")}
        if mine:
            found[f"{KOLLA}/neutron/{plan.host}/{name}"] = _ini(plan, mine)
    found[TRIPLEO] = _yaml(plan, {"parameter_defaults": {ROLE: tripleo_parameters(plan)}})
    found[RHOSO] = _yaml(plan, *rhoso_documents(plan))
    return found


def _ini(plan: HostPlan, options: dict[str, tuple[str, ...]]) -> str:
    return texts.with_head(plan, texts.render_ini(options))


def _yaml(plan: HostPlan, *documents: dict[str, Any]) -> str:
    return texts.head(plan) + "---\n".join(
        yaml.safe_dump(one, sort_keys=False, width=1000) for one in documents
    )


def _one(plan: HostPlan, key: str) -> str:
    return plan.nova.get(key, ("",))[-1]


def _mappings(plan: HostPlan) -> list[str]:
    pairs = [(one.physical_network, one.bridge) for one in plan.dpdk_ports]
    pairs += [(one.physical_network, one.bridge) for one in plan.kernel_ports]
    return [f"{network}:{bridge}" for network, bridge in dict.fromkeys(pairs)]


def _isolated(plan: HostPlan) -> str:
    return render_list(plan.isolated_cpus)


def tripleo_parameters(plan: HostPlan) -> dict[str, Any]:
    """Return the parameters of a role; they go under the name of yours."""
    nodes = {
        key.split("/")[0].removeprefix("neutron_physnet_"): [int(n) for n in values[0].split(",")]
        for key, values in plan.nova.items()
        if key.startswith("neutron_physnet_")
    }
    found: dict[str, Any] = {
        "KernelArgs": " ".join(plan.kernel_args),
        "IsolCpusList": _isolated(plan),
        "TunedProfileName": plan.tuned_profile,
        "NovaComputeCpuDedicatedSet": _one(plan, "compute/cpu_dedicated_set"),
        "NovaComputeCpuSharedSet": _one(plan, "compute/cpu_shared_set"),
        "NovaReservedHostMemory": int(_one(plan, "DEFAULT/reserved_host_memory_mb")),
        "NovaReservedHugePages": list(plan.nova.get("DEFAULT/reserved_huge_pages", ())),
        "NovaLibvirtRxQueueSize": _number(_one(plan, "libvirt/rx_queue_size")),
        "NovaLibvirtTxQueueSize": _number(_one(plan, "libvirt/tx_queue_size")),
        "NovaPCIPassthrough": [json.loads(one) for one in plan.nova.get("pci/device_spec", ())],
        "NeutronPhysnetNUMANodesMapping": nodes,
        "NeutronTunnelNUMANodes": [
            int(n) for n in _one(plan, "neutron_tunnel/numa_nodes").split(",") if n
        ],
        "NeutronBridgeMappings": _mappings(plan),
        "NeutronPhysicalDevMappings": [
            f"{one.physical_network}:{one.nic}" for one in plan.sriov if not one.switchdev
        ],
    }
    if plan.dpdk_ports:
        found |= {
            "OvsPmdCoreList": render_list(plan.pmd_cpus),
            "OvsDpdkCoreList": render_list(plan.host_cpus),
            "OvsDpdkSocketMemory": plan.other_config["dpdk-socket-mem"],
            "NeutronDatapathType": "netdev",
            "NeutronVhostuserSocketDir": "/var/lib/vhost_sockets",
        }
    if any(one.switchdev for one in plan.sriov):
        found["OvsHwOffload"] = True
    return {key: value for key, value in found.items() if value not in ("", [], {}, None)}


def _number(text: str) -> int | None:
    return int(text) if text else None


def rhoso_documents(plan: HostPlan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the ConfigMap with nova.conf, and the variables of a node set."""
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"isthmus-nfv-{plan.host.lower().replace('_', '-')}"},
        "data": {"60-isthmus-nfv.conf": texts.render_ini(plan.nova)},
    }
    variables: dict[str, Any] = {
        "edpm_kernel_args": " ".join(plan.kernel_args),
        "edpm_tuned_profile": plan.tuned_profile,
        "edpm_tuned_isolated_cores": _isolated(plan),
        "edpm_ovn_bridge_mappings": _mappings(plan),
    }
    if plan.dpdk_ports:
        variables |= {
            "edpm_ovs_dpdk_pmd_core_list": render_list(plan.pmd_cpus),
            "edpm_ovs_dpdk_socket_memory": plan.other_config["dpdk-socket-mem"],
        }
    if mapped := [f"{one.physical_network}:{one.nic}" for one in plan.sriov if not one.switchdev]:
        key = "edpm_neutron_sriov_agent_SRIOV_NIC_physical_device_mappings"
        variables[key] = ",".join(mapped)
    node_set = {
        "apiVersion": "dataplane.openstack.org/v1beta1",
        "kind": "OpenStackDataPlaneNodeSet",
        "spec": {"nodeTemplate": {"ansible": {"ansibleVars": variables}}},
    }
    return config, node_set
