"""Who may log in to a lab's dashboard, and where it is."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus import errors
from isthmus.lab.dashboard.bring import SERVICE, render_url
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Made
from isthmus.services.identity import PROJECT_DEMO, PROJECT_OTHER, USER_ADMIN

#: Clouds of `clouds.yaml`, by the user that each is for: whoever has a role that Horizon knows.
_PEOPLE = {PROJECT_DEMO: "demo-central", PROJECT_OTHER: "other-central", USER_ADMIN: "central"}


def list_logins(plan: LabPlan, made: Made) -> Iterator[Mapping[str, Any]]:
    """List the people, each with the project that they work in.

    Args:
        plan: of the lab.
        made: what `up` has made.

    Raises:
        NotFound: the lab has no dashboard.
    """
    if f"{plan.central.name}.{SERVICE}" not in made.programs:
        raise errors.NotFound(
            f"lab {plan.name!r} has no dashboard: it is made with: isthmus lab up --dashboard"
        )
    import yaml

    clouds = yaml.safe_load(plan.clouds_file.read_text())["clouds"]
    for user, cloud in _PEOPLE.items():
        auth = clouds[cloud]["auth"]
        yield {
            "url": render_url(plan),
            "user": user,
            "password": auth["password"],
            "project": auth["project_name"],
        }
