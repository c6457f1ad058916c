"""Facts of a host: what is read of it, by what command, and how that is parsed.

Nothing here runs a command: `protocols.HostClient` does. A fact that could not be read says why.
"""
