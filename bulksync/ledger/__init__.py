"""The state kept between runs, one SQLite file: written before the report, and the source of everything it shows.

For the sender and everything above it.
"""
