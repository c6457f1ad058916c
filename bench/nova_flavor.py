"""A flavor of Nova's own, from what a plan says of one: for Pythons that have Nova and not us."""

# mypy: disable-error-code="import-not-found"

from typing import Any


def make_flavor(wish: dict[str, Any], *, number: int = 1) -> Any:
    """Make a flavor as Nova's API would have read it from its database."""
    from nova import objects

    return objects.Flavor(
        id=number,
        flavorid=wish["name"],
        name=wish["name"],
        vcpus=wish["vcpus"],
        memory_mb=wish["ram_mib"],
        root_gb=0,
        swap=0,
        ephemeral_gb=0,
        rxtx_factor=1.0,
        vcpu_weight=0,
        is_public=True,
        disabled=False,
        extra_specs=wish["extra_specs"],
    )
