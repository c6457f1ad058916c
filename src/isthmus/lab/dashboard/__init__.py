"""Horizon in the lab: OpenStack's dashboard at central, where a person asked for `--dashboard`."""
