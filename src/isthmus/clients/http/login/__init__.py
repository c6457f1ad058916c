"""Logins: one that is kept, one for each lane, and a site's that carries a person's token."""
