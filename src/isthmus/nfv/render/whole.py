"""All that a plan means, as files."""

from pathlib import Path

from isthmus import errors
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.render import deploy, files, ovs, script


def render_plan(plan: HostPlan) -> dict[str, str]:
    """Return all that a plan means as path -> content, for a person to read or carry."""
    found = {f"host{file.path}": file.content for file in files.render_files(plan)}
    found |= files.render_controller(plan) | deploy.render_deploy(plan)
    commands = [*ovs.render_config(plan), *ovs.render_ports(plan)]
    if commands:
        found["host/ovs-commands.sh"] = ovs.render_shell(commands)
    found["host/kernel-line.txt"] = " ".join(plan.kernel_args) + "\n"
    found["apply.sh"] = script.render_apply(plan)
    found["rollback.sh"] = script.render_rollback()
    return found


def write_rendered(plan: HostPlan, folder: Path) -> list[Path]:
    """Write what a plan means into a folder.

    Raises:
        Invalid: the folder cannot be written.
    """
    written: list[Path] = []
    try:
        for name, content in sorted(render_plan(plan).items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            written.append(path)
    except OSError as exc:
        raise errors.Invalid(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc
    return written
