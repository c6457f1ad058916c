"""Identities that both tiers derive alike, so that neither has to ask the other."""

import uuid

#: The namespace of ids that are derived from a project.
_PROJECTS = uuid.UUID("6f1a1c4e-25d4-5c1b-9d0e-6a3f5b6c7d80")


def default_security_group_id(project_id: str) -> str:
    """Return the id of a project's default security group, the same in every tier."""
    return str(uuid.uuid5(_PROJECTS, f"default-security-group/{project_id}"))
