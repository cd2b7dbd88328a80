"""Updates workflow executions from a pandas data frame, cell by cell as in a notebook, against an emulated API.

For real: set FEATHER_API_KEY (or give api_key=…) and leave out `sandbox=True`.
"""

# %% The rows: a frame as it comes from a query or from read_csv; columns that are not ours are only echoed
import pandas as pd

from bulksync import sync

leads = pd.DataFrame(
    {
        "workflowId": "cbf27734-4313-4d2a-9fb0-6e4a1f8b1c11",
        "executionId": [f"918c40bf-0000-4000-8000-{number:012d}" for number in range(5)],
        "status": ["COMPLETED", "COMPLETED", None, "FAILED", "COMPLETED"],
        "metadata.score": [0.5, None, 0.75, 1, 0.25],
        "metadata.calledAt": pd.date_range("2026-01-02 03:04", periods=5, tz="UTC"),
        "leadName": ["Ada", "Ben", "Cy", "Dee", "Eve"],
    }
)

# %% Send them: a plain loop, which works in a notebook too
run = sync(leads, rate=10, sandbox=True)
results = []
for result in run:
    results.append(result)
    print(f"{run.progress.done} of {run.progress.total}: {result.columns['leadName']} {result.outcome}")

# %% What the server answered, beside the lead's name
report = pd.DataFrame([result.as_dict() for result in results]).sort_values("row")
print(report[["row", "leadName", "outcome", "disposition"]].to_string(index=False))
print(run.exit_code, run.summary["outcomes"])
