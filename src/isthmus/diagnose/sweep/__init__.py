"""Health of all sites without a question: `plan` asks for one, `health` merges the answers.

It stands on dumps: what was read once is asked hundreds of times.
"""
