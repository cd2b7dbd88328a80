"""Everything written to files for people, from the ledger: report, retry file, summary, page, metrics.

For the commands and the console.
"""
