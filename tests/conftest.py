"""What holds for all tests: no fixed time decides a verdict, nor the shell that started them."""

import signal

from hypothesis import settings

# A shell has what it starts in the background ignore Ctrl-C, and so would each command of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("house", deadline=None)
settings.load_profile("house")
