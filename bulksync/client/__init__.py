"""Sends a row in one HTTP request per attempt and returns the reply; a failed request is a reply, not an exception.

For the sender and the commands.
"""
