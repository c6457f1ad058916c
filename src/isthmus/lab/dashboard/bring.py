"""What a lab with a dashboard has besides: the files that never change, the settings, the program.

Collecting Horizon's scripts and styles and compressing them takes most of a minute. It is done once
for each set of versions, and kept beside the template databases.
"""

import inspect
import secrets
from dataclasses import dataclass
from pathlib import Path

from isthmus.lab.dashboard import served, settings
from isthmus.lab.dashboard.horizon import Horizon
from isthmus.lab.dashboard.settings import HorizonServer
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.program import Program
from isthmus.lab.protocols import Commands
from isthmus.lab.tier.maker import MARKER
from isthmus.lab.tier.template import BUILD_TIMEOUT_S, Templates, digest

DASHBOARD_PORT = 80
SERVICE = "horizon"
_STATIC = "static"
_SETTINGS = "local_settings.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardServices:
    """The files and the process of a lab's dashboard."""

    files: dict[Path, str]
    program: Program


def make_static(templates: Templates, horizon: Horizon, commands: Commands) -> Path:
    """Return the folder of Horizon's scripts, styles, fonts and pictures.

    Args:
        templates: where it is kept.
        horizon: whose they are.
        commands: what to make it with.

    Raises:
        StepFailed: it could not be made.
    """

    def build(folder: Path) -> None:
        file = folder / _SETTINGS
        key = secrets.token_urlsafe()  # signs nothing
        server = HorizonServer(region="", secret_key=key, static_root=folder / _STATIC)
        file.write_text(settings.render_settings(server))
        for words in (
            ["collectstatic", "--noinput", "--verbosity=0"],
            ["compress", "--force", "--verbosity=0"],
        ):
            commands(
                [*_command(horizon, file), "manage", *words],
                env={"PYTHONDONTWRITEBYTECODE": "1"},
                timeout_s=BUILD_TIMEOUT_S,
            )

    own = (Path(inspect.getfile(module)).read_text() for module in (settings, served))
    parts = [*horizon.list_distributions(), *own]
    return templates.made(f"horizon-{digest(*parts)}", build) / _STATIC


def plan_dashboard(
    plan: LabPlan, horizon: Horizon, *, static_root: Path, secret_key: str
) -> DashboardServices:
    """Decide the settings and the process of the dashboard, which is at central.

    Args:
        plan: of the lab.
        horizon: what is to be run.
        static_root: what `make_static` gave.
        secret_key: with which it signs what a browser keeps for it.
    """
    central = plan.central
    file = plan.tier_dir(central) / _SETTINGS
    server = HorizonServer(
        region=str(central.name),
        secret_key=secret_key,
        static_root=static_root,
    )
    name = f"{central.name}.{SERVICE}"
    bind = "0.0.0.0"  # noqa: S104  (all of central's own namespace)
    program = Program(
        name=name,
        netns=central.netns,
        log=plan.log_dir / f"{name}.log",
        argv=(*_command(horizon, file), "serve", bind, str(DASHBOARD_PORT)),
        # The page by which one logs in: the first request loads most of Horizon.
        url=f"{render_url(plan)}auth/login/",
        env={MARKER: str(plan.folder)},
    )
    return DashboardServices(files={file: settings.render_settings(server)}, program=program)


def render_url(plan: LabPlan) -> str:
    """Return where a person finds the dashboard."""
    return f"http://{plan.central.management_address}/"


def _command(horizon: Horizon, file: Path) -> list[str]:
    return [str(horizon.python), "-P", str(Path(served.__file__)), str(file)]
