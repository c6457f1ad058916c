"""A site that is deleted is deleted, whatever becomes of what central waits for."""

import warnings
from typing import Any

import pytest

from isthmus import errors

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.central.admin import site as admin


class _Context:
    def elevated(self) -> "_Context":
        return self


def test_a_site_that_is_deleted_is_deleted_though_central_cannot_recover_now(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else Neutron would try again, and say that there is no such site."""
    deleted: list[str] = []

    def fail(_context: Any) -> None:
        raise errors.Busy("two transactions collided")

    monkeypatch.setattr(admin, "recover", fail)
    monkeypatch.setattr(admin, "_row_id", lambda _context, one: one)
    monkeypatch.setattr("isthmus.neutron.api.listing.get_one", lambda *_: {})
    monkeypatch.setattr(admin, "_delete", lambda _context, one, _shown: deleted.append(one))
    admin.SiteApi().delete_site(_Context(), "site1")
    assert deleted == ["site1"]
    assert "two transactions collided" in caplog.text
