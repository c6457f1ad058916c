"""A flavor of Nova's own, from what a plan says of one: for Pythons that have Nova and not us."""

# mypy: disable-error-code="import-not-found"

from typing import Any


def make_flavor(demand: dict[str, Any], *, number: int = 1) -> Any:
    """Make a flavor as Nova's API would have read it from its database."""
    from nova import objects

    return objects.Flavor(
        id=number,
        flavorid=demand["name"],
        name=demand["name"],
        vcpus=demand["vcpus"],
        memory_mb=demand["ram_mib"],
        root_gb=0,
        swap=0,
        ephemeral_gb=0,
        rxtx_factor=1.0,
        vcpu_weight=0,
        is_public=True,
        disabled=False,
        extra_specs=demand["extra_specs"],
    )
