"""`isthmus site`: the places that make up the cloud."""

from typing import Annotated, Any

import typer

from isthmus.cli import complete, render
from isthmus.cli.options import (
    DEFAULT_CLOUD,
    Cloud,
    Output,
    Site,
    Wait,
    check_name,
    confirm,
    confirm_name,
)
from isthmus.cli.render import Format
from isthmus.cli.watch import see_through
from isthmus.model.form import counted
from isthmus.model.site import Reachability, SiteState

app = typer.Typer(no_args_is_help=True, help="Sites: add, watch, drain, remove them.")

COLUMNS = (
    "name",
    "region",
    "availability_zones",
    "state",
    "reachability",
    "backlog",
    "parked",
    "last_seen_at",
    "waits_for",
)

Region = Annotated[str | None, typer.Option(help="Keystone region of the site's endpoints.")]
Zones = Annotated[
    list[str] | None,
    typer.Option("--zone", help="Availability zone that the site serves; repeat for several."),
]
User = Annotated[
    str | None,
    typer.Option(
        "--service-user",
        help="Keystone user that speaks for the site: its id, or DOMAIN_ID/NAME.",
    ),
]
Prefixes = Annotated[
    list[str] | None,
    typer.Option(
        "--tunnel-prefix",
        help="Network in which the tunnel addresses of the site's hypervisors lie; repeat for "
        "several. Without one the site may name any address that no other site has.",
    ),
]
Fabrics = Annotated[
    list[str] | None,
    typer.Option(
        "--fabric",
        help="Physical network that the site shares with the other sites that name it; repeat for "
        "several, '' for none. Others are the site's own.",
    ),
]
Description = Annotated[str | None, typer.Option(help="What a person should know of it.")]


def _open(cloud: str) -> Any:
    from isthmus.wiring.admin import Admin

    return Admin(cloud)


@app.command("list")
def list_sites(
    state: Annotated[list[SiteState] | None, typer.Option(help="Only in this state.")] = None,
    reachability: Annotated[
        list[Reachability] | None, typer.Option(help="Only if last seen so.")
    ] = None,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """List the sites, with what waits for each."""
    rows = _open(os_cloud).api.list(
        "site",
        state=[one.value for one in state or ()] or None,
        reachability=[one.value for one in reachability or ()] or None,
        sort_key="name",
        sort_dir="asc",
    )
    narrowed = state or reachability
    render.print_rows(
        rows,
        COLUMNS,
        output,
        empty="No site is like that."
        if narrowed
        else "There is no site, or none that you may see; add one with: isthmus site create NAME",
        show={"last_seen_at": render.show_since("last_seen_at")},
    )


@app.command("show")
def show_site(name: Site, output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD) -> None:
    """Show everything that central keeps of a site."""
    admin = _open(os_cloud)
    from isthmus.operate import site as operate

    render.print_row(operate.get_site(admin.api, name), output)


@app.command("create")
def create_site(
    name: Annotated[str, typer.Argument(help="Name of the site.")],
    region: Region = None,
    zone: Zones = None,
    service_user: User = None,
    tunnel_prefix: Prefixes = None,
    fabric: Fabrics = None,
    description: Description = None,
    state: Annotated[SiteState, typer.Option(help="How it begins.")] = SiteState.ENABLED,
    wait: Wait = 0.0,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Add a site. If not said: region and zone are its name, the user default/isthmus-NAME.

    With --wait until it has answered central's Xjob.
    """
    body = {
        "name": name,
        "region": region or name,
        "availability_zones": zone or [name],
        "service_user": service_user or f"default/isthmus-{name}",
        "tunnel_prefixes": tunnel_prefix or [],
        "fabrics": [one for one in fabric or () if one],
        "description": description or "",
        "state": state.value,
    }
    admin = _open(os_cloud)
    from isthmus.operate import site as operate

    made, warning = operate.create_site(admin, body)
    if warning:
        render.note(warning)
    if wait:
        _see_joined(admin.api, name, wait)
        made = operate.get_site(admin.api, name)
    render.print_row(made, output)


@app.command("update")
def update_site(
    name: Site,
    region: Region = None,
    zone: Zones = None,
    service_user: User = None,
    tunnel_prefix: Prefixes = None,
    fabric: Fabrics = None,
    description: Description = None,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Change what central knows of a site; what is not said stays."""
    changes = {
        "region": region,
        "availability_zones": zone or None,
        "service_user": service_user,
        "tunnel_prefixes": tunnel_prefix,
        "fabrics": None if fabric is None else [one for one in fabric if one],
        "description": description,
    }
    body = {key: value for key, value in changes.items() if value is not None}
    if not body:
        raise typer.BadParameter("say what to change: --region, --zone, --service-user ...")
    admin = _open(os_cloud)
    from isthmus.operate import site as operate

    render.print_row(operate.update_site(admin.api, name, body), output)


@app.command("delete")
def delete_site(
    name: Site,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask only for the name.")] = False,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The site's name once more, instead of typing it."),
    ] = None,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Remove a site that holds nothing, or a disabled one with all that it held.

    Shows first what it holds, and wants its name once more; where nobody can be asked, --yes and
    --confirm NAME. Only what was shown is removed: where it changed meanwhile, nothing is.

    Addresses and keys that it never gave back stay its own, as do the homes of its ports: its
    servers may still run. Added again under its name it takes them up; `isthmus gone` lists them.
    """
    admin = _open(os_cloud)
    from isthmus.operate import site as operate

    shown = operate.preview_delete(admin.api, name)
    check_name(str(shown["name"]), confirm)
    if operate.is_holding(shown):
        render.print_row({"name": shown["name"], **shown["holds"]}, output)
        confirm_name(
            f"Site {shown['name']} goes, with all of that: its networks end there, other sites "
            "lose its ports, and its addresses and keys are kept aside.",
            str(shown["name"]),
            yes=yes,
            given=confirm,
        )
    left = operate.delete_site(admin.api, shown)
    render.note(f"Site {shown['name']} is gone.")
    if left is not None:
        render.note(
            f"What it has not let go of is kept aside: {_describe(left)}. If nothing of it runs "
            f"any more: isthmus gone free {left.incarnation}"
        )


@app.command("enable")
def enable_site(
    name: Site, wait: Wait = 0.0, output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD
) -> None:
    """Enable a site; with --wait until it has answered central's Xjob."""
    _set_state(name, SiteState.ENABLED, output, os_cloud, wait)


@app.command("drain")
def drain_site(name: Site, output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD) -> None:
    """Extend no network to a site any more; what it has goes on working."""
    _set_state(name, SiteState.DRAINING, output, os_cloud)


@app.command("disable")
def disable_site(
    name: Site, output: Output = Format.TABLE, os_cloud: Cloud = DEFAULT_CLOUD
) -> None:
    """Neither send to a site nor hear it: for one that is lost, or not to be trusted."""
    _set_state(name, SiteState.DISABLED, output, os_cloud)


@app.command("go-on-without")
def go_on_without(
    name: Site,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Allocate addresses although a site has not registered since central was restored.

    What that site was leased after the backup may then be given to others: for a site that will not
    come back, or that was made anew itself. `isthmus status` shows for which sites central waits.
    """
    from isthmus.operate import site as operate

    def ask() -> None:
        if not yes:
            confirm(
                f"Go on without {name}? Addresses that it was leased since the backup can then be "
                "given a second time."
            )

    done = operate.go_on_without(_open(os_cloud).api, name, ask)
    if output is not Format.TABLE:
        render.print_row(done.site, output)
    if not done.waited:
        render.note(f"Nobody waits for site {name}: nothing has changed.")
    else:
        render.note(
            f"Central no longer waits for site {name}. If it comes back, nothing of it is heard "
            "before it has registered."
        )
    if done.still:
        render.note(
            f"Central still gives out no addresses: it waits for {', '.join(done.still)} as well. "
            "See: isthmus status"
        )
    elif done.waited:
        render.note(
            "Central gives out addresses again. Next: isthmus audit --wait 300. Where nothing of "
            f"{name} will run again: isthmus site disable {name}, then isthmus site delete {name}"
        )


@app.command("resync")
def resync_site(
    name: Site,
    network: Annotated[
        str | None,
        typer.Option(
            help="Only this network (id or name), its subnets and the ports on it.",
            autocompletion=complete.networks,
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Wait until the site has what it lacked, so long."
        ),
    ] = 0.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No word on stderr of what is waited for.")
    ] = False,
    output: Output = Format.TABLE,
    os_cloud: Cloud = DEFAULT_CLOUD,
) -> None:
    """Compare a site with what it should hold now, not only once a day, and repair what differs.

    Central's Xjob does it as soon as it runs and the site answers. With --wait the end is 3 where
    the time was too short, and 2 where the site refused something.
    """
    admin = _open(os_cloud)
    from isthmus.operate import resync as operate

    row = operate.request_resync(admin.api, name, network=network)
    if wait:
        with render.Waiting(f"Site {name} is being compared", quiet=quiet) as waiting:
            row = operate.wait_resynced(admin.api, row, wait_s=wait, tell=waiting.tell)
    render.print_row(row, output)
    if not wait:
        render.note("It is recorded, and isthmus-xjob does it; --wait SECONDS sees it through.")


def _describe(left: Any) -> str:
    counts = {"address": left.addresses, "port key": left.port_keys, "port": left.ports}
    return ", ".join(counted(count, word) for word, count in counts.items())


def _set_state(name: str, state: SiteState, output: Format, cloud: str, wait: float = 0.0) -> None:
    admin = _open(cloud)
    from isthmus.operate import site as operate

    row = operate.update_site(admin.api, name, {"state": state.value})
    if wait:
        _see_joined(admin.api, name, wait)
        row = operate.get_site(admin.api, name)
    render.print_row(row, output)


def _see_joined(api: Any, name: str, wait: float) -> None:
    from isthmus.operate.site import say_joining

    see_through(f"Site {name} is awaited", lambda: say_joining(api, name), wait)
