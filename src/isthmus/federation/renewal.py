"""Renewal: what no change announced is found by comparing digests, a page at a time.

A row changed by hand, a restored database, a lost note: nothing tells of those. So from time to
time a site is compared with what central wants of it. Central makes a page of digests; the site is
told the page's own digest and, only where it has another one, all of them; what differs is noted in
the journals, and nothing else is. One page is one step, and a worker takes the next only when the
lane has nothing to do, so a renewal neither holds up intents nor fills the journal.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from isthmus import errors
from isthmus.federation.digest import Page
from isthmus.model.intent import IntentKey, RenewalState
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

#: What is compared where only one network is.
OF_NETWORK = frozenset(
    {ResourceType.NETWORK, ResourceType.SUBNET, ResourceType.PORT, ResourceType.SHADOW}
)


class Wanting(Protocol):
    """Central, which knows what a site should hold."""

    def make_page(
        self,
        site: SiteName,
        kind: ResourceType,
        after: str,
        attributes: Collection[str],
        *,
        network: str = "",
    ) -> Page:
        """Make the next page; with `network`, of what is on that one alone.

        Args:
            site: the site that is compared.
            kind: type of the objects.
            after: id after which the page begins; empty for the first one.
            attributes: those that the site takes.
            network: id of the network of which alone objects are compared; empty for all.

        Raises:
            IsthmusError: it cannot be made now.
        """


class Holding(Protocol):
    """The site."""

    def list_carried(self) -> Mapping[ResourceType, Collection[str]]:
        """List the types that it can be asked for, each with the attributes that it takes.

        Raises:
            IsthmusError: it does not say.
        """

    def has(self, page: Page) -> bool:
        """Tell whether it holds a page just so.

        Raises:
            IsthmusError: it does not say.
        """

    def find_differing(self, page: Page) -> Sequence[str]:
        """List what is not as the page says; what central has to hear of, the site notes itself.

        Raises:
            IsthmusError: it does not say.
        """


class Noting(Protocol):
    """Central's journal."""

    def note(self, keys: Sequence[IntentKey]) -> None:
        """Record intents.

        Raises:
            Transient: the database is busy or away.
        """


@dataclass(slots=True)
class Found:
    """What a renewal has found so far."""

    pages: int = 0
    noted: int = 0


class Renewal:
    """One comparison of one site; a step that raised is taken again by the next call."""

    def __init__(
        self,
        site: SiteName,
        *,
        central: Wanting,
        holder: Holding,
        journal: Noting,
        network: str = "",
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            site: which one.
            central: knows what it should hold.
            holder: knows what it holds.
            journal: where what differs is noted.
            network: id of the only network that is compared, with its subnets, its ports and the
                shadows on it; empty for all.
        """
        self.site = site
        self.found = Found()
        self._central = central
        self._holder = holder
        self._journal = journal
        self._attributes: Mapping[ResourceType, Collection[str]] | None = None
        self._network = network
        self._left: list[ResourceType] = []
        self._after = ""

    def step(self) -> bool:
        """Compare one page.

        Returns:
            Whether there is another one.

        Raises:
            IsthmusError: a tier does not answer, or not as it should.
        """
        if self._attributes is None:
            self._attributes = self._holder.list_carried()
            self._left = [
                kind
                for kind in ResourceType
                if kind in self._attributes and (not self._network or kind in OF_NETWORK)
            ]
        if not self._left:
            return False
        kind = self._left[0]
        page = self._central.make_page(
            self.site, kind, self._after, self._attributes[kind], network=self._network
        )
        if not self._holder.has(page):
            differing = self._holder.find_differing(page)
            if differing:
                keys = [IntentKey(self.site, kind, one) for one in differing]
                self._journal.note(keys)
                self.found.noted += len(keys)
        self.found.pages += 1
        self._after = page.until
        if not page.until:
            self._left.pop(0)
        return bool(self._left)


class Recording(Protocol):
    """Records how far a renewal is that somebody asked for, and why it does not go on."""

    def __call__(self, state: RenewalState, *, pages: int, noted: int, error: str) -> None:
        """Record it.

        Args:
            state: how far it is.
            pages: how many have been compared.
            noted: how many intents were recorded for what differs.
            error: why it does not go on; empty where it does.

        Raises:
            Transient: the database is busy or away.
        """


class RequestedRenewal:
    """A renewal that tells after each page how far it is."""

    def __init__(self, renewal: Renewal, recording: Recording) -> None:
        """Prepare; nothing is asked or recorded yet."""
        self._renewal = renewal
        self._record_at = recording

    @property
    def found(self) -> Found:
        """Return what was found so far."""
        return self._renewal.found

    def step(self) -> bool:
        """Compare one page, and record it.

        Returns:
            Whether there is another one.

        Raises:
            IsthmusError: as `Renewal.step`, and of what is recorded.
        """
        try:
            more = self._renewal.step()
        except errors.Transient as error:
            self._record(RenewalState.COMPARING, error.message)
            raise
        except errors.IsthmusError as error:
            self._record(RenewalState.FAILED, error.message)
            raise
        except Exception as error:
            # Else it would be tried for ever, and what was asked for behind it would wait.
            why = f"nobody foresaw this: {error!r}"
            self._record(RenewalState.FAILED, why)
            raise errors.Broken(why) from error
        self._record(RenewalState.COMPARING if more else RenewalState.DONE)
        return more

    def _record(self, state: RenewalState, error: str = "") -> None:
        said = error.encode(errors="replace").decode()  # a site says what it likes
        self._record_at(state, pages=self.found.pages, noted=self.found.noted, error=said)
