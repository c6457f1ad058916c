"""Who may do what in Keystone: a value, decided before anything runs.

Service users have the least role that does their work; none of them is an administrator, and none
is one in two tiers: what one site holds or sees opens nothing elsewhere. In a lab a person gets an
administrator in the project `demo` besides, and two ordinary members in two projects, so that it
can be seen what one tenant must not see of another.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

#: The role with which a site speaks to central.
ROLE_SITE = "isthmus_site"
#: The role with which Xjob reads at central what is wanted anywhere.
ROLE_XJOB = "isthmus_xjob"
#: The role with which Xjob carries to a site, as a user that this site alone knows.
ROLE_CARRIER = "isthmus_carrier"
#: The role of a person who may look at the Admin API and change nothing.
ROLE_READER = "isthmus_reader"
#: Keystone's own role for services that check other people's tokens.
ROLE_SERVICE = "service"
ROLE_ADMIN = "admin"
ROLE_MEMBER = "member"

PROJECT_SERVICE = "service"
PROJECT_ADMIN = "admin"
PROJECT_DEMO = "demo"
PROJECT_OTHER = "other"

#: (type, name) of what every lab's catalogue has, and of what one with a Nova has besides.
SERVICES = (("identity", "keystone"), ("network", "neutron"))
COMPUTE_SERVICES = (("compute", "nova"), ("image", "glance"), ("placement", "placement"))

USER_ADMIN = "admin"
USER_XJOB = "isthmus-xjob"
USER_READER = "reader"


class Interface(enum.StrEnum):
    """Who reaches a service by an endpoint."""

    PUBLIC = "public"  #: a person, over the management link
    INTERNAL = "internal"  #: another service, over the WAN
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the catalogue."""

    service_type: str
    region: str
    interface: Interface
    url: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on a project."""

    role: str
    project: str


@dataclass(frozen=True, slots=True)
class User:
    """A user of the default domain."""

    name: str
    password: str = field(repr=False)
    grants: tuple[Grant, ...]
    default_project: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """All that a Keystone holds beyond what `keystone-manage bootstrap` makes."""

    regions: tuple[str, ...]
    services: tuple[tuple[str, str], ...]  #: (type, name)
    endpoints: tuple[Endpoint, ...]
    roles: tuple[str, ...]
    projects: tuple[str, ...]
    users: tuple[User, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def site_user(site: str) -> str:
    """Return the name of the user that alone may speak for a site."""
    return f"isthmus-{site}"


def carrier_user(site: str) -> str:
    """Return the name of the user that alone may carry to a site."""
    return f"{USER_XJOB}-{site}"


def neutron_user(tier: str) -> str:
    """Return the name of the user as which a tier's Neutron checks tokens."""
    return f"neutron-{tier}"


def nova_user(site: str) -> str:
    """Return the name of the user as which a site's Nova works with the site's other services."""
    return f"nova-{site}"


def service_users(
    sites: Sequence[str], central: str = "central", *, compute: bool = False
) -> tuple[str, ...]:
    """List the users that are programs; `compute` for sites that have a Nova."""
    services = (USER_XJOB, *(neutron_user(tier) for tier in (central, *sites)))
    own = (name(site) for site in sites for name in (site_user, carrier_user))
    novas = (nova_user(site) for site in sites if compute)
    return (*services, *own, *novas)


def user_names(
    sites: Sequence[str], central: str = "central", *, compute: bool = False
) -> tuple[str, ...]:
    """List every user of a lab that needs a password; `compute` for sites that have a Nova."""
    people = (USER_ADMIN, PROJECT_DEMO, PROJECT_OTHER, USER_READER)
    return (*people, *service_users(sites, central, compute=compute))


def plan_identity(
    sites: Sequence[str],
    endpoints: Sequence[Endpoint],
    passwords: Mapping[str, str],
    central: str = "central",
    *,
    compute: bool = False,
    people: bool = True,
) -> Identity:
    """Decide users, roles and catalogue.

    Args:
        sites: names of the sites; each is a region of the same name.
        endpoints: where the services answer.
        passwords: by user name, one for each of `user_names`, or of `service_users`.
        central: the central region.
        compute: whether the sites have a Nova.
        people: whether a lab's people are in it, with their projects.
    """
    in_service = (Grant(ROLE_SERVICE, PROJECT_SERVICE),)

    def user(name: str, *grants: Grant) -> User:
        return User(name, passwords[name], grants)

    return Identity(
        regions=(central, *sites),
        services=(*SERVICES, *(COMPUTE_SERVICES if compute else ())),
        endpoints=tuple(endpoints),
        roles=(ROLE_SITE, ROLE_XJOB, ROLE_CARRIER, ROLE_READER),
        projects=(PROJECT_SERVICE, *((PROJECT_DEMO, PROJECT_OTHER) if people else ())),
        users=(
            *(_plan_people(passwords) if people else ()),
            *(user(neutron_user(tier), *in_service) for tier in (central, *sites)),
            user(USER_XJOB, Grant(ROLE_XJOB, PROJECT_SERVICE)),
            *(user(carrier_user(site), Grant(ROLE_CARRIER, PROJECT_SERVICE)) for site in sites),
            *(user(site_user(site), Grant(ROLE_SITE, PROJECT_SERVICE)) for site in sites),
            *(user(nova_user(site), *in_service) for site in sites if compute),
        ),
    )


def _plan_people(passwords: Mapping[str, str]) -> tuple[User, ...]:
    def user(name: str, *grants: Grant, default: str = "") -> User:
        return User(name, passwords[name], grants, default)

    return (
        user(USER_ADMIN, Grant(ROLE_ADMIN, PROJECT_DEMO), Grant(ROLE_ADMIN, PROJECT_SERVICE)),
        user(PROJECT_DEMO, Grant(ROLE_MEMBER, PROJECT_DEMO), default=PROJECT_DEMO),
        user(PROJECT_OTHER, Grant(ROLE_MEMBER, PROJECT_OTHER), default=PROJECT_OTHER),
        user(USER_READER, Grant(ROLE_READER, PROJECT_SERVICE), default=PROJECT_SERVICE),
    )
