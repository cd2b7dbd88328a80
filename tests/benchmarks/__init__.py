"""`make bench`: bulksync and what a user would pick instead, side by side on the same rows and the same server."""
