"""Options of the commands that look into all tiers: where OVN answers, which lab, which dump."""

import datetime
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus import errors

if TYPE_CHECKING:
    from isthmus.clients.machine.hypervisor import SshTargets
    from isthmus.diagnose.dump.form import Dump
    from isthmus.wiring.diagnose.ways import Ways

Remotes = Annotated[
    list[str] | None,
    typer.Option("--ovn", metavar="SITE=NB,SB", help="Where a site's OVN databases answer."),
]
SiteClouds = Annotated[
    list[str] | None,
    typer.Option(
        "--site-cloud",
        metavar="SITE=CLOUD",
        help="Read a site as this entry of clouds.yaml, not as you are at central. Repeatable.",
    ),
]
Lab = Annotated[
    str,
    typer.Option(envvar="ISTHMUS_LAB_NAME", help="Lab whose hypervisors and databases to read."),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--ssh",
        metavar="[HYPERVISOR=]TARGET",
        help="Read hypervisors over ssh: one, or all: root@%h, %h for the name. Repeatable.",
    ),
]
Identity = Annotated[
    str | None, typer.Option("--identity", "-i", help="With --ssh: file of a private key.")
]
SshOption = Annotated[
    list[str] | None, typer.Option("--ssh-option", help="With --ssh: an -o option. Repeatable.")
]
FromDump = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="DUMP", help="Answer from what isthmus gather wrote, and ask nobody."
    ),
]
Timeout = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="For everything that is read.")
]


def say_time() -> str:
    """Return the time that rows bear which were read now."""
    return datetime.datetime.now(datetime.UTC).strftime("%H:%M:%SZ")


def open_clouds(
    cloud: str,
    ovn: Sequence[str] | None,
    lab: str,
    ssh: "SshTargets",
    site_clouds: Sequence[str] | None = None,
) -> "Ways":
    """Open ways to central, the sites, their OVN and hypervisors; nobody is called.

    Args:
        cloud: entry of clouds.yaml.
        ovn: SITE=NB,SB for each site whose OVN is read by an address.
        lab: name of a lab; empty for that of the clouds.yaml in use.
        ssh: which hypervisors are read over ssh.
        site_clouds: SITE=CLOUD for each site that has credentials of its own.

    Raises:
        Invalid: an option has another form.
        NotFound: there is no lab of that name.
    """
    from isthmus.wiring.diagnose.ways import Ways

    return Ways(cloud, parse_remotes(ovn or []), lab, ssh, parse_site_clouds(site_clouds or []))


def read_all(ways: "Ways", timeout_s: float) -> "Dump":
    """Read all that there is now, within a time in seconds."""
    from isthmus.diagnose.dump.whole import collect_dump

    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return collect_dump(ways, timeout_s=timeout_s, at=at, made_by=version("isthmus"))


def parse_hosts(
    texts: Sequence[str] | None, identity: str | None, options: Sequence[str] | None
) -> "SshTargets":
    """Read --ssh, --identity and --ssh-option.

    Raises:
        Invalid: a target has another form, or there is none and the others are given.
    """
    from isthmus.clients.machine.hypervisor import parse_targets

    if not texts and (identity or options):
        raise errors.Invalid("--identity and --ssh-option are for --ssh: say which hypervisors")
    return parse_targets(texts or (), identity=identity, options=options or ())


def parse_site_clouds(texts: Sequence[str]) -> dict[str, str]:
    """Read SITE=CLOUD.

    Raises:
        Invalid: one has another form.
    """
    found = {}
    for text in texts:
        site, _, cloud = text.partition("=")
        if not (site and cloud):
            raise errors.Invalid(f"--site-cloud {text!r}: it is SITE=CLOUD, such as site2=berlin")
        found[site] = cloud
    return found


def parse_remotes(texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Read SITE=NB,SB.

    Raises:
        Invalid: one has another form.
    """
    found = {}
    for text in texts:
        site, _, remotes = text.partition("=")
        north, comma, south = remotes.partition(",")
        if not (site and north and comma and south) or "," in south:
            raise errors.Invalid(
                f"--ovn {text!r}: it is SITE=NB,SB, such as "
                "site1=tcp:10.0.0.1:6641,tcp:10.0.0.1:6642"
            )
        found[site] = (north, south)
    return found
