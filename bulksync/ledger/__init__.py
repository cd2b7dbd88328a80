"""The memory across runs, one SQLite file: written before the report, and the truth that the report shows.

For the sender and everything above it.
"""
