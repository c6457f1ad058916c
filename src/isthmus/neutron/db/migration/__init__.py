"""Our branches in Neutron's migrations: `neutron-db-manage --subproject isthmus upgrade heads`."""

#: Ours alone; Neutron keeps its own revision in `alembic_version`.
VERSION_TABLE = "isthmus_alembic_version"
