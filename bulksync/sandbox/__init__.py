"""A faithful emulation of the API: `PUT /api/v1/workflow/{workflowId}/execution/{executionId}` and GET, with faults.

    server      Sandbox and `serve`: validates, applies, answers, keeps the log
    checks      which requests it refuses, and how
    execution   the body of a 200: every field of the API page, the same for the same IDs and seed
    faults      which faults it injects, and into which requests
    wire        how a fault looks to the client
    draws       deterministic pseudo-random draws

It imports nothing else of bulksync: a peer that shared our code would share our mistakes.
"""
