"""What Neutron has to write into OVN once more."""

import pytest

from isthmus.federation.rewrite import Rewrites, Written, plan_rewrites

FORGOTTEN = Rewrites(forget=(("ports", "p"),))


def lifted(revision: int) -> Rewrites:
    return Rewrites(lift=(("ports", "p", revision),))


@pytest.mark.parametrize(
    ("revision", "noted", "seen", "same", "wanted"),
    [
        (5, 5, 5, True, Rewrites()),
        (5, 5, None, True, FORGOTTEN),
        (5, None, None, True, FORGOTTEN),
        (5, None, 5, True, Rewrites()),
        (5, 5, 3, True, FORGOTTEN),  # OVN came back from a backup
        (5, 5, 9, True, lifted(10)),  # Neutron's database did
        (5, 3, 9, True, lifted(10)),  # and it was changed since, which OVN did not take
        (5, 5, 5, False, lifted(6)),
        (5, None, 5, False, FORGOTTEN),  # without a note nobody looks at it
        (5, 3, 3, False, Rewrites()),  # it is being written
        (1, -1, None, True, Rewrites()),  # it is being made
    ],
)
def test_what_is_written_again(
    revision: int, noted: int | None, seen: int | None, same: bool, wanted: Rewrites
) -> None:
    one = Written(kind="ports", id="p", revision=revision, noted=noted, seen=seen, same=same)
    assert plan_rewrites([one]) == wanted
    assert bool(plan_rewrites([one])) == (wanted != Rewrites())
