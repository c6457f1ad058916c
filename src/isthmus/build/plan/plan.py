"""Make the plan: hold the fleet file against what earlier runs left, and say what will be done."""

from collections.abc import Collection, Mapping, Sequence

from isthmus import errors
from isthmus.build.fleet.form import suggest
from isthmus.build.plan import rates as rating
from isthmus.build.plan.spec import digest
from isthmus.build.plan.waves import estimate_wave, plan_waves
from isthmus.model.rack.build import BuildPlan, NodePlan, Stage, Standing, Verb
from isthmus.model.rack.fleet import BmcKind, Fleet, Install
from isthmus.model.rack.machine import Machine


def make_plan(
    fleet: Fleet,
    machines: Sequence[Machine],
    standings: Mapping[str, Standing],
    *,
    rebuild: Collection[str] = (),
    only: Collection[str] = (),
) -> BuildPlan:
    """Plan a build.

    Args:
        fleet: the file.
        machines: of `resolve_fleet`.
        standings: what earlier runs left; empty where there was none.
        rebuild: machines whose disks may be written anew though they run.
        only: machines, racks or sites to which the plan is confined; empty: all.

    Raises:
        NotFound: `rebuild` or `only` names what is not in the fleet.
    """
    _check_names(machines, rebuild, only)
    chosen = {
        one.name: _choose(one, standings.get(one.name), one.name in rebuild) for one in machines
    }
    acting = [
        one for one in machines if chosen[one.name][0].acts and (not only or _is_in(one, only))
    ]
    found = rating.choose_rates(fleet, list(standings.values()))
    waves = tuple(
        estimate_wave(number, wave, found)
        for number, wave in enumerate(plan_waves(acting, fleet.limits), start=1)
    )
    number_of = {name: wave.number for wave in waves for name in wave.nodes}
    nodes = [_node_plan(one, *chosen[one.name], number_of.get(one.name)) for one in machines]
    names = {one.name for one in machines}
    nodes += [_left(one) for one in standings.values() if one.node not in names]
    return BuildPlan(
        nodes=tuple(nodes),
        waves=waves,
        rates=tuple(found.values()),
        estimate_s=round(sum(wave.estimate_s for wave in waves), 1),
        notes=_notes(nodes),
    )


def _check_names(
    machines: Sequence[Machine], rebuild: Collection[str], only: Collection[str]
) -> None:
    names = {one.name for one in machines}
    for name in rebuild:
        if name not in names:
            raise errors.NotFound(f"there is no node {name} to rebuild{suggest(name, names)}")
    places = names | {one.rack for one in machines} | {one.site for one in machines}
    for name in only:
        if name not in places:
            raise errors.NotFound(f"there is no node, rack or site {name}{suggest(name, places)}")


def _is_in(machine: Machine, only: Collection[str]) -> bool:
    return bool({machine.name, machine.rack, machine.site} & set(only))


def _choose(machine: Machine, standing: Standing | None, rebuild: bool) -> tuple[Verb, str]:
    if standing is None or (standing.stage is Stage.WAITING and not standing.why):
        return Verb.BUILD, "nothing was done to it"
    stage = standing.stage
    if stage is Stage.WAITING:
        return Verb.RETRY, f"released; before: {standing.why}"
    if stage is Stage.QUARANTINED:
        return Verb.QUARANTINED, f"{standing.why}; isthmus build release {machine.name}"
    if stage is not Stage.ACTIVE:
        return Verb.GO_ON, f"in stage {stage}, attempt {standing.attempt}"
    return _choose_active(machine, standing, rebuild)


def _choose_active(machine: Machine, standing: Standing, rebuild: bool) -> tuple[Verb, str]:
    if rebuild:
        return Verb.REBUILD, "asked for by name"
    if standing.spec != digest(machine):
        return Verb.DIFFERS, f"its file changed since; --rebuild {machine.name} writes it anew"
    return Verb.KEEP, "it runs what the file says"


def _node_plan(machine: Machine, verb: Verb, why: str, wave: int | None) -> NodePlan:
    acts = wave is not None
    return NodePlan(
        node=machine.name,
        site=machine.site,
        rack=machine.rack,
        verb=verb if acts or not verb.acts else Verb.KEEP,
        wave=wave,
        address=machine.address,
        roles=machine.roles,
        why=why if acts or not verb.acts else "not chosen by --only",
        destroys=verb is Verb.REBUILD and acts,
        steps=list_steps(machine) if acts else (),
    )


def list_steps(machine: Machine) -> tuple[str, ...]:
    """Describe what will be done to a machine."""
    bmc = machine.bmc
    if bmc.kind is BmcKind.MANUAL:
        power = "a person boots it from the network"
    else:
        power = f"boot it from the network once, by {bmc.kind} at {bmc.address}"
    disk = machine.disks.device
    if machine.install is Install.IMAGE:
        write = (
            f"stream {machine.image.name} ({machine.image.size_mib} MiB) to {disk}, and compare "
            "its checksum"
        )
    else:
        write = f"install {machine.image.name} by {machine.install} to {disk}"
    return (
        power,
        f"give {machine.mac} the address {machine.address}, and a boot script by "
        f"{machine.firmware}",
        write,
        "boot from the disk and wait until it reports in",
    )


def _left(standing: Standing) -> NodePlan:
    return NodePlan(
        node=standing.node,
        site="",
        rack="",
        verb=Verb.LEFT,
        wave=None,
        address=standing.address,
        roles=(),
        why=f"it was built once ({standing.stage}), and the file has it no more",
    )


def _notes(nodes: Sequence[NodePlan]) -> tuple[str, ...]:
    notes = []
    for verb, text in (
        (Verb.DIFFERS, "run something else than the file says, and are left alone"),
        (Verb.QUARANTINED, "are quarantined, and are left alone"),
        (Verb.LEFT, "are in the file no more, and are left alone"),
    ):
        count = sum(1 for one in nodes if one.verb is verb)
        if count:
            notes.append(f"{count} machines {text}")
    return tuple(notes)
