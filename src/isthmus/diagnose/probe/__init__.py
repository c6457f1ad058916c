"""Packets that are sent on request, and where they are seen: `isthmus why --probe --capture`."""
