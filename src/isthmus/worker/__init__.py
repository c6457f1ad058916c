"""Xjob: the process that carries intents from central to the sites."""
