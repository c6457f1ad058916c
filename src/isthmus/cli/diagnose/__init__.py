"""Commands that tell why packets do not pass: now, or from a dump."""
