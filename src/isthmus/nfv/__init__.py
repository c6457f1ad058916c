"""NFV hosts: inventory in, plan out, and proof that a host has what was planned.

Everything here is pure but for `protocols.HostClient`, the one way to a host.
"""
