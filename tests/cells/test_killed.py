"""`cell add`, `split` and `move-host` on MariaDB: killed at each change, gone on with or undone.

What a change is says `killed.py`. Whatever was killed, afterwards hosts, servers and mappings are
whole, and `cell verify` finds nothing.
"""

from collections.abc import Iterator

import pytest
from tests.cells import test_cell_add, test_split
from tests.cells.real_nova import NEW, RealNova
from tests.cells.test_split import KILLED, OLD, Cloud, cloud

__all__ = ["cloud"]

# A RabbitMQ is no part of what `./dev test` sets up; `./dev test all` has one.
pytestmark = [pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(7200)]
HOST = "h2"
SPLIT = frozenset({"h1", "h3"})
#: Changes that each makes at least; else they are not counted, and nothing is killed.
ADDED, BROUGHT, MOVED = 10, 16, 5


@pytest.fixture(autouse=True)
def quick(real_nova: RealNova) -> Iterator[None]:
    real_nova.forks = True
    yield
    real_nova.forks = False


@pytest.fixture
def nova(real_nova: RealNova) -> Iterator[RealNova]:
    assert real_nova.is_clean()
    yield real_nova
    real_nova.clean()


@pytest.mark.parametrize("back", [True, False])
def test_an_added_cell(nova: RealNova, back: bool) -> None:
    number = 1
    while test_cell_add.kill_at(nova, number, back=back):
        number += 1
    assert number > ADDED


@pytest.mark.parametrize("back", [True, False])
def test_a_cell_that_is_split(cloud: Cloud, back: bool) -> None:
    number = 1
    while test_split.kill_at(cloud, number, back=back):
        number += 1
    assert number > BROUGHT


class Mover:
    """Moves one host of a real Nova to and fro."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def run(self, *words: str, number: int | None = None) -> tuple[int, str]:
        nova = self.cloud.nova
        before, nova.verb = nova.verb, ("move-host", HOST)
        try:
            files = ("--placement-conf", str(nova.conf))
            code, out, said = nova.run(*words, *files, number=number, servers=False)
        finally:
            nova.verb = before
        return code, out + said

    def do(self, *words: str) -> None:
        code, said = self.run(*words)
        assert code == 0, said

    def set_down(self, *, down: bool) -> None:
        """Say of nova-compute that it is down, or up, wherever it is."""
        for name in (OLD, NEW):
            self.cloud.nova.sql(
                f"UPDATE {name}.services SET forced_down = {int(down)} WHERE host = '{HOST}'"
            )

    def is_on_its_way(self) -> bool:
        return any(
            self.cloud.nova.sql(
                f"SELECT 1 FROM {name}.services WHERE host = '{HOST}' AND disabled = 1"
            )
            for name in (OLD, NEW)
        )

    def arrive(self) -> None:
        """Start it where it is now, and open it."""
        self.set_down(down=False)
        self.do("--resume")

    def bring_home(self) -> None:
        self.set_down(down=True)
        self.do("--to", "cell1", "--yes")
        self.arrive()

    def end(self, *, back: bool) -> None:
        """Go on with what was killed, or undo it; then it is at home."""
        if self.is_on_its_way() and back:
            self.do("--roll-back")
            assert not self.is_on_its_way()
        elif self.is_on_its_way():
            self.do("--resume")
            self.arrive()
            self.cloud.audit({*SPLIT, HOST})
            self.bring_home()
        self.set_down(down=False)
        self.cloud.audit(set(SPLIT))


@pytest.fixture
def mover(cloud: Cloud) -> Iterator[Mover]:
    cloud.finish()
    yield Mover(cloud)
    cloud.undo()


@pytest.mark.parametrize("back", [True, False])
def test_a_host_that_moves(mover: Mover, back: bool) -> None:
    number, code = 1, KILLED
    while code == KILLED:
        mover.set_down(down=True)
        code, said = mover.run("--to", "east", "--yes", number=number)
        assert code in {0, KILLED}, said
        if code == KILLED:
            mover.end(back=back)
            number += 1
    assert number > MOVED
    # It has arrived; it is killed before it is opened.
    mover.set_down(down=False)
    assert mover.run("--resume", number=1)[0] == KILLED
    if back:
        mover.set_down(down=True)
        mover.do("--roll-back")
    mover.arrive()
    mover.cloud.audit(set(SPLIT) if back else {*SPLIT, HOST})
    if not back:
        mover.bring_home()
    mover.cloud.audit(set(SPLIT))
