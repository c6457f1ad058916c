"""Dumps: all facts that `why` may ask for, written once and answered from later.

`allow` says what may be in one, `form` writes and reads it, `whole` collects it and `recorded`
answers in the place of the clouds and hosts that it was made of.
"""
