"""The metadata agent of a hypervisor: Neutron's own. Pure."""

from pathlib import Path

from isthmus.lab.plan import METADATA_PORT, SOUTHBOUND_PORT, LabPlan
from isthmus.lab.process.program import Program
from isthmus.lab.tier.maker import Maker
from isthmus.model.topology import Hypervisor, Tier
from isthmus.services.render import render_sections


def plan_agents(plan: LabPlan, site: Tier, secret: str) -> dict[Path, tuple[str, Program]]:
    """Decide the agents of a site's hypervisors, each with its file and what that says.

    Args:
        plan: of the lab.
        site: one of its sites.
        secret: what its Nova knows its agents by.
    """
    return {
        plan.host_dir(host) / "metadata.ini": (
            _render(plan, site, host, secret),
            _program(plan, host, plan.host_dir(host) / "metadata.ini"),
        )
        for host in site.hypervisors
    }


def _render(plan: LabPlan, site: Tier, host: Hypervisor, secret: str) -> str:
    home = plan.host_dir(host)
    return render_sections(
        {
            "DEFAULT": {
                "use_stderr": True,
                "host": host.name,
                "state_path": home / "metadata",
                "nova_metadata_host": site.address,
                "nova_metadata_port": METADATA_PORT,
                "metadata_proxy_shared_secret": secret,
            },
            # sudo, its default, takes away the lab's mark, by which `down` knows haproxies.
            "AGENT": {"root_helper": "env"},
            "ovs": {"ovsdb_connection": f"unix:{home}/db.sock"},
            "ovn": {"ovn_sb_connection": f"tcp:{site.address}:{SOUTHBOUND_PORT}"},
            "oslo_concurrency": {"lock_path": home / "metadata" / "lock"},
        }
    )


def _program(plan: LabPlan, host: Hypervisor, conf: Path) -> Program:
    make = Maker(plan, host.name, host.netns, plan.host_dir(host))
    birth = make.birth(
        f"{host.name}.metadata",
        argv=("neutron-ovn-metadata-agent", "--config-file", str(conf)),
        prepare=("isthmus.lab.process.apart:have_own_namespaces",),
        main="isthmus.neutron.metadata:run",
    )
    return make.born(birth)
