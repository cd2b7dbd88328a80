"""An Airflow DAG that sends the night's export to Feather; what is left over is sent by the task's next tries.

For Airflow 3; in Airflow 2 `dag` and `task` come from `airflow.decorators`. Put it into the folder of your DAGs, and
the key into FEATHER_API_KEY of the workers. EXPORT, and with it the report and the ledger that stand next to it, must
be on a disk that every try sees: the ledger is what makes a second try send only what is left.
"""

import subprocess
from datetime import datetime, timedelta

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

BULKSYNC = "/opt/bulksync/bin/bulksync"
EXPORT = "/srv/feather/export.csv"
OPTIONS = ("--rate", "10/s", "--max-duration", "1h", "--lock-wait", "10m", "--log-format", "json")

AGAIN = frozenset({4, 6, 10})
"""Exit codes that ask for the same command once more: rows failed, the server was away, the time was up."""


def raise_for(code: int) -> None:
    """Raise what tells Airflow to try the task again, or that a person must look (3, 5, 7, 12 and all others)."""
    if code in AGAIN:
        raise AirflowException(f"bulksync exited with {code}: the next try sends what is left")
    if code:
        raise AirflowFailException(f"bulksync exited with {code}: see the last lines of the log")


@dag(schedule="0 1 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def feather_export() -> None:
    """Send the night's export."""

    @task(retries=6, retry_delay=timedelta(minutes=15))
    def send() -> None:
        raise_for(subprocess.run([BULKSYNC, "run", EXPORT, *OPTIONS], check=False).returncode)

    send()


feather_export()
