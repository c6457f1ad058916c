"""Isthmus in Neutron's database: tables, migrations, SQLite's transactions, first creation."""
