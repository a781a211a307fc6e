"""What knows redis-py and has no colour: where the server is, what it is, and what its failures mean (ADR 0003).

Both shells, sync and async, stand on this floor; nothing here routes, consumes or settles.
"""
