"""The `clouds.yaml` that lets every OpenStack client work with the lab. Pure."""

from collections.abc import Mapping
from typing import Any

from isthmus.lab.plan import KEYSTONE_PORT, LabPlan
from isthmus.model.topology import Tier
from isthmus.services.identity import PROJECT_DEMO, PROJECT_OTHER, PROJECT_SERVICE, USER_ADMIN

#: Prefix of a cloud's name -> (user, project). The plain name is the administrator's, who may say
#: where a port lives; the others are ordinary members.
PEOPLE: Mapping[str, tuple[str, str]] = {
    "": (USER_ADMIN, PROJECT_DEMO),
    "demo-": (PROJECT_DEMO, PROJECT_DEMO),
    "other-": (PROJECT_OTHER, PROJECT_OTHER),
    "reader-": ("reader", PROJECT_SERVICE),
}


def render_clouds(plan: LabPlan, passwords: Mapping[str, str]) -> str:
    """Write clouds `central`, `site1` ... and the same for `demo-`, `other-` and `reader-`."""
    import yaml

    clouds = {
        before + tier.name: _cloud(tier, user, project, passwords[user])
        for before, (user, project) in PEOPLE.items()
        for tier in plan.tiers
    }
    return yaml.safe_dump({"clouds": clouds}, sort_keys=False)


def _cloud(tier: Tier, user: str, project: str, password: str) -> dict[str, Any]:
    return {
        "region_name": str(tier.name),
        "interface": "public",
        "identity_api_version": "3",
        "auth": {
            "auth_url": f"http://{tier.management_address}:{KEYSTONE_PORT}/v3",
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
    }
