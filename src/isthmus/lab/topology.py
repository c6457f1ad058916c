"""From a person's request (two numbers, or a YAML file) to a `Topology`, or one clear refusal.

The file::

    sites:
      - name: site1
        hosts: 2            # or a list of names: [a, b]
        gateways: 1         # how many of them are gateways to the outside; 0 for no outside
      - name: site2
        hosts: [c]
        wan_rtt_ms: 100     # round trip added to the site's WAN link
      - name: peer
        flavour: stock      # plain ML2/OVN on its own, to compare with; central does not know it
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
import yaml

from isthmus import errors
from isthmus.model.form import counted, say_fault
from isthmus.model.site import CENTRAL, SiteName
from isthmus.model.topology import MAX_HOSTS, MAX_SITES, LabSite, Topology

#: Names become parts of interface, namespace, host and user names.
NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_RESERVED = {str(CENTRAL), "wan"}


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def _checked_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("a name is a lower-case letter and up to 11 letters or digits")
    if value in _RESERVED:
        raise ValueError(f"{value!r} is taken by the lab itself")
    return value


Name = Annotated[str, pydantic.AfterValidator(_checked_name)]
Count = Annotated[int, pydantic.Field(ge=1, le=MAX_HOSTS, strict=True)]
Names = Annotated[list[Name], pydantic.Field(min_length=1, max_length=MAX_HOSTS)]


class _Site(_Strict):
    name: Name
    hosts: Count | Names = 2
    wan_rtt_ms: Annotated[float, pydantic.Field(ge=0, le=60_000)] = 0.0
    flavour: Literal["local", "stock"] = "local"
    gateways: Annotated[int, pydantic.Field(ge=0, le=MAX_HOSTS, strict=True)] = 1


class _File(_Strict):
    sites: Annotated[list[_Site], pydantic.Field(min_length=1, max_length=MAX_SITES)]


def default_topology(sites: int = 2, hosts: int = 2) -> Topology:
    """Number sites and hypervisors.

    Raises:
        Invalid: too few or too many.
    """
    for count, limit, what in ((sites, MAX_SITES, "sites"), (hosts, MAX_HOSTS, "hosts per site")):
        if not 1 <= count <= limit:
            raise errors.Invalid(f"{count} {what}: choose between 1 and {limit}")
    return Topology(
        sites=tuple(
            LabSite(name=SiteName(f"site{number}"), hosts=_numbered(hosts))
            for number in range(1, sites + 1)
        )
    )


def parse_topology(text: str, source: str = "the topology file") -> Topology:
    """Read a topology file.

    Args:
        text: YAML.
        source: what to call it in messages.

    Raises:
        Invalid: it is wrong; the message names every fault with its place.
    """
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise errors.Invalid(f"{source} is not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(loaded, Mapping):
        raise errors.Invalid(f"{source} has no sites: it must begin with 'sites:'")
    try:
        wanted = _File.model_validate(loaded)
    except pydantic.ValidationError as exc:
        faults = list(dict.fromkeys(_fault(row) for row in exc.errors()))
        raise errors.Invalid(f"{source}: {'; '.join(faults)}") from exc
    sites = tuple(
        LabSite(
            name=SiteName(site.name),
            hosts=_numbered(site.hosts) if isinstance(site.hosts, int) else tuple(site.hosts),
            wan_rtt_ms=site.wan_rtt_ms,
            is_stock=site.flavour == "stock",
            gateways=site.gateways,
        )
        for site in wanted.sites
    )
    faults = _faults(sites)
    if faults:
        raise errors.Invalid(f"{source}: {'; '.join(faults)}")
    return Topology(sites=sites)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"h{number}" for number in range(1, count + 1))


def _faults(sites: tuple[LabSite, ...]) -> list[str]:
    faults = [
        f"sites: the name {name!r} is given {count} times"
        for name, count in Counter(site.name for site in sites).items()
        if count > 1
    ]
    for number, site in enumerate(sites):
        if site.gateways > len(site.hosts):
            faults.append(
                f"sites[{number}].gateways: {site.gateways}, but the site has "
                f"{counted(len(site.hosts), 'host')}"
            )
        faults += [
            f"sites[{number}].hosts: the name {name!r} is given {count} times"
            for name, count in Counter(site.hosts).items()
            if count > 1
        ]
    return faults


def _fault(row: Any) -> str:
    path = ""
    for part in row["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(("list[", "constrained-", "function-")) and part != "int":
            path += f".{part}" if path else part
    return f"{path}: {say_fault(row['type'], row.get('ctx') or {}, row['msg'])}"
