"""Repairs as a person gives them who has a lab: its processes are no services of the machine. Pure.

A check writes a repair for a real cloud in one of two forms, `on HOST: COMMAND` or `COMMAND   # at
site SITE`. In a lab the same is said by `isthmus lab`, which knows namespaces, sockets and
processes. What has another form is the same in a lab.
"""

import re
from collections.abc import Callable

#: What the lab calls the daemons.
_PROCESSES = {
    "ovs-vswitchd": "vswitchd",
    "ovn-controller": "controller",
    "ovn-northd": "northd",
}
_HOST = re.compile(r"on (?P<place>[\w.-]+): (?P<command>.+)", re.DOTALL)
_SITE = re.compile(r"(?P<command>[^#]+?) *# at site (?P<place>[\w.-]+)(?P<more>.*)", re.DOTALL)
#: What can be run as it is: one command, and no sentence.
_PLAIN = re.compile(r"(?:ovs|ovn)-\w+ [^;|&,]+|ip [^;|&,]+")
#: Daemons of a lab write no file of their number, so their sockets are named to whoever asks them.
_APPCTL = re.compile(
    r"(?P<program>ov[sn]-appctl) (?:-t ovn-controller )?(?P<words>[\w/. -]+?)(?:, or .*)?"
)
_SOCKETS = {
    "ovs-appctl": "$OVS_RUNDIR/vswitchd.ctl",
    "ovn-appctl": "$(ls -t $OVN_RUNDIR/ovn-controller.*.ctl | head -1)",
}


def render_in_lab(repair: str, lab: str) -> str:
    """Write a repair for a lab.

    Args:
        repair: as a check wrote it, for a real cloud.
        lab: name of the lab.
    """
    for form in (_HOST, _SITE):
        match = form.fullmatch(repair)
        if match is not None:
            command = match["command"].strip()
            more = match.groupdict().get("more") or ""
            said = _render(match["place"], command, "" if lab == "lab" else f" --name {lab}")
            return f"{said}{'   #' + more.lstrip(';,') if said and more else ''}" or repair
    return repair


def _render(place: str, command: str, option: str) -> str:
    for form, write in _SERVICES:
        match = form.fullmatch(command)
        if match is not None:
            process = f"{place}.{_PROCESSES[match['daemon']]}"
            return write(process, option)
    match = _APPCTL.fullmatch(command)
    if match is not None:
        said = f"{match['program']} -t {_SOCKETS[match['program']]} {match['words']}"
        return f"isthmus lab shell{option} {place} -- sh -c '{said}'"
    if _PLAIN.fullmatch(command):
        return f"isthmus lab shell{option} {place} -- {command}"
    return ""


def _start(process: str, option: str) -> str:
    return f"isthmus lab start {process}{option}"


def _restart(process: str, option: str) -> str:
    return f"isthmus lab kill {process}{option}; {_start(process, option)}"


def _wake(process: str, option: str) -> str:
    return f"isthmus lab kill {process} --signal CONT{option}"


_DAEMON = r"(?P<daemon>ovs-vswitchd|ovn-controller|ovn-northd)"
_SERVICES: tuple[tuple[re.Pattern[str], Callable[[str, str], str]], ...] = (
    (re.compile(rf"systemctl start {_DAEMON}"), _start),
    (re.compile(rf"systemctl restart {_DAEMON}"), _restart),
    (re.compile(rf"kill -CONT .* systemctl restart {_DAEMON}"), _wake),
)
