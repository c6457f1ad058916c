"""Waves: who is started together, controllers first, and how long a wave takes."""

from collections import Counter
from collections.abc import Mapping, Sequence

from isthmus.model.rack.build import Rate, Wave
from isthmus.model.rack.fleet import Install, Limits
from isthmus.model.rack.machine import Machine

#: What gzip -6 and zstd -3 made of `isthmus build image`'s disk of 512 MiB (119 and 110 MiB).
PACKED_TO = {"none": 1.0, "gzip": 1 / 4.3, "zstd": 1 / 4.65}


def plan_waves(machines: Sequence[Machine], limits: Limits) -> tuple[tuple[Machine, ...], ...]:
    """Cut machines into waves of at most `parallel`, and `per_rack` of one rack.

    Controllers come first, since whatever is set up later needs them; else the file's order holds.
    """
    left = sorted(machines, key=lambda one: not one.is_controller)
    waves: list[tuple[Machine, ...]] = []
    while left:
        wave: list[Machine] = []
        rest: list[Machine] = []
        racks: Counter[tuple[str, str]] = Counter()
        for machine in left:
            rack = (machine.site, machine.rack)
            if len(wave) < limits.parallel and racks[rack] < limits.per_rack:
                racks[rack] += 1
                wave.append(machine)
            else:
                rest.append(machine)
        waves.append(tuple(wave))
        left = rest
    return tuple(waves)


def estimate_wave(number: int, machines: Sequence[Machine], rates: Mapping[str, Rate]) -> Wave:
    """Estimate the duration of a wave, from its first power-on to its last report.

    Machines work side by side: only power-ons and the builder's link are shared. A machine that is
    installed by image writes at the rate of its disk, or of its share of the link if that is less.
    """
    count = len(machines)
    images = [one for one in machines if one.install is Install.IMAGE]
    sizes = [float(one.image.size_mib or 0) for one in images]
    wire_mib = sum(
        size * PACKED_TO[one.image.compression.value]
        for size, one in zip(sizes, images, strict=True)
    )
    deploy = max(
        max(sizes, default=0.0) / rates["write_mib_per_s"].value,
        wire_mib / rates["wire_mib_per_s"].value,
        rates["install_s"].value if len(images) < count else 0.0,
    )
    parts = {
        "power-ons": count / rates["power_ons_per_s"].value,
        "network boot": rates["boot_s"].value,
        "writing disks": deploy,
        "first boot": rates["verify_s"].value,
    }
    return Wave(
        number=number,
        nodes=tuple(one.name for one in machines),
        estimate_s=round(sum(parts.values()), 1),
        slowest=max(parts, key=lambda name: parts[name]),
    )
