"""CPU sets in the two spellings of the field: kernel lists (`0-3,8`) and hexadecimal masks."""

import functools
import re
from collections.abc import Iterable

from isthmus import errors

_RANGE = re.compile(r"^\s*(\d{1,9})(?:\s*-\s*(\d{1,9})(?::(\d{1,9})/(\d{1,9}))?)?\s*$")

#: More CPUs than any kernel is built for (CONFIG_NR_CPUS of distributions is 8192); a list that
#: says more is garbage, and would cost memory before anybody noticed.
MAX_CPU = 65535


@functools.lru_cache(maxsize=4096)
def parse_list(text: str) -> tuple[int, ...]:
    """Read a kernel CPU list; `^n` takes one out again, as Nova allows.

    Raises:
        Invalid: not a list.

    Source:
        Linux Documentation/admin-guide/kernel-parameters.rst, "cpu lists".
    """
    found: set[int] = set()
    dropped: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.strip().split(","))):
        target, body = (dropped, part[1:]) if part.startswith("^") else (found, part)
        match = _RANGE.match(body)
        if match is None:
            raise errors.Invalid(f"{text.strip()[:80]!r} is no CPU list such as 0-3,8")
        low = int(match[1])
        high = int(match[2] or low)
        if high < low or high > MAX_CPU:
            raise errors.Invalid(
                f"the range {body!r} in the CPU list {text.strip()[:80]!r} is wrong"
            )
        used, group = int(match[3] or 1), int(match[4] or 1)
        if group < 1 or used > group:
            raise errors.Invalid(f"the stride in {body!r} is wrong")
        target.update(cpu for cpu in range(low, high + 1) if (cpu - low) % group < used)
    return tuple(sorted(found - dropped))


def parse_vcpus(text: str, count: int) -> frozenset[int]:
    """Read which virtual CPUs of a guest a mask of Nova's names.

    A mask that begins by leaving out, such as ^0-1 or ^0,2, starts from all of them.

    Raises:
        Invalid: it is no such mask, or names one that is not there.

    Source:
        nova.virt.hardware 34.0.0: `parse_cpu_spec`, `get_dedicated_cpu_constraint`.
    """
    if ":" in text:
        raise errors.Invalid(f"{text.strip()[:80]!r} has a stride, which Nova does not know")
    whole = f"0-{count - 1},{text}" if text.strip().startswith("^") else text
    found = parse_list(whole)
    if found and found[-1] >= count:
        raise errors.Invalid(f"{text!r} names virtual CPU {found[-1]} of {count}")
    return frozenset(found)


def render_list(cpus: Iterable[int]) -> str:
    """Write a kernel CPU list in its shortest form; empty for no CPU."""
    parts: list[str] = []
    ordered = sorted(set(cpus))
    start = 0
    for index, cpu in enumerate(ordered):
        if index + 1 < len(ordered) and ordered[index + 1] == cpu + 1:
            continue
        first = ordered[start]
        parts.append(str(first) if first == cpu else f"{first}-{cpu}")
        start = index + 1
    return ",".join(parts)


def parse_mask(text: str) -> tuple[int, ...]:
    """Read a hexadecimal mask, with or without 0x and the kernel's commas.

    Raises:
        Invalid: not hexadecimal, or longer than any host has CPUs.
    """
    digits = text.strip().strip('"').replace(",", "")
    try:
        value = int(digits, 16) if digits else 0
    except ValueError as exc:
        raise errors.Invalid(f"{text.strip()[:80]!r} is no hexadecimal CPU mask") from exc
    if value < 0 or value.bit_length() > MAX_CPU + 1:
        raise errors.Invalid(f"{text.strip()[:80]!r} is a mask of more CPUs than any host has")
    return list_bits(value)


def list_bits(value: int) -> tuple[int, ...]:
    """List the bits that are set in a number, the lowest first."""
    return tuple(bit for bit, digit in enumerate(reversed(f"{value:b}")) if digit == "1")


def find_mask(text: str) -> tuple[int, ...]:
    """Find the CPUs of a mask; empty where it is none."""
    try:
        return parse_mask(text)
    except errors.Invalid:
        return ()


def render_mask(cpus: Iterable[int]) -> str:
    """Write a hexadecimal mask with its 0x."""
    return hex(sum(1 << cpu for cpu in set(cpus)))
