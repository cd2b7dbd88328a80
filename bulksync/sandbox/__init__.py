"""An honest emulation of the API: `PUT /api/v1/workflow/{workflowId}/execution/{executionId}` and GET, with faults.

    server      Sandbox and `serve`: checks, applies, answers, keeps the log
    checks      what it refuses, and how
    execution   what a 200 says: every field of the API page, the same for the same ids and seed
    faults      how it misbehaves today, and on which request
    wire        how a fault looks to the client
    draws       chance that repeats

It imports nothing else of bulksync: a peer that shared our code would share our mistakes.
"""
