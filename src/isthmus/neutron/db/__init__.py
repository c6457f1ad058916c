"""Isthmus in Neutron's database: tables, migrations, SQLite manners, first creation."""
