"""The checks, one topic a file: each looks at one way, from a sender to a receiver. Pure."""
