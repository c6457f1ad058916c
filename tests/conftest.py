"""What holds for all tests: no fixed time decides a verdict, hypothesis's deadline included."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
