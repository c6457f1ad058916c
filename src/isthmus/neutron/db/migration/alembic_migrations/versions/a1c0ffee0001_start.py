"""Where the expand and contract branches part."""

revision = "a1c0ffee0001"
down_revision = None


def upgrade() -> None:
    """Nothing stands before this."""
