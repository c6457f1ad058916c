"""Start of the contract branch."""

from neutron.db.migration import cli

revision = "a1c0ffee0003"
down_revision = "a1c0ffee0001"
branch_labels = (cli.CONTRACT_BRANCH,)


def upgrade() -> None:
    """Nothing was taken away yet."""
