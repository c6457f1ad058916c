"""Hypothesis strategies for our nouns; hypothesis itself is not a dependency of Isthmus."""

from hypothesis import strategies as st

from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

site_names = st.sampled_from([SiteName(f"site{number}") for number in (1, 2, 3)])
resource_types = st.sampled_from(list(ResourceType))
intent_keys = st.builds(IntentKey, site_names, resource_types, st.uuids().map(str))


@st.composite
def blocks(draw: st.DrawFn, lowest: int = 0, highest: int = 300) -> Block:
    """Blocks that may overlap others."""
    first = draw(st.integers(lowest, highest))
    return Block(first, draw(st.integers(first, min(highest, first + 64))))


def block_lists(lowest: int = 0, highest: int = 300) -> st.SearchStrategy[list[Block]]:
    """Lists of blocks that may overlap."""
    return st.lists(blocks(lowest, highest), max_size=8)
