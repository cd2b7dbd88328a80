"""A run's result as a Prometheus textfile, which node_exporter's textfile collector serves until the next run."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bulksync import __version__
from bulksync.model import Outcome
from bulksync.report.atomic import written
from bulksync.report.schema import Summary

SUCCESS = "bulksync_last_success_timestamp_seconds"


class Snapshot(Collector):
    """A registry of one run's metrics; the library's own would add those of this process."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self._metrics


def write_metrics(path: Path, summary: Summary | None, *, exit_code: int | None, now: float) -> None:
    """Write the metrics of a run that ended at *now* (Unix time); a run without a report, or killed, has no *summary*.

    Raises StorageError if the file cannot be written.
    """
    success = now if exit_code == 0 else last_success(path)
    metrics = [*ending(exit_code, now, success), *(counts(summary) if summary else ())]
    text = generate_latest(Snapshot(named(metrics, path.stem))).decode()
    # The collector is another user, so this one file is world-readable; it holds counts, and nothing of a row.
    with written(path, "metrics file", mode=0o644) as file:
        file.write(text)


def last_success(path: Path) -> float:
    """Return the time of the last success recorded in the existing file; 0 if there is none, so that alerts fire.

    A job that never succeeded must not look like one that is not monitored.
    """
    with suppress(OSError, ValueError):
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8") if path.is_file() else ""):
            for sample in family.samples:
                if sample.name == SUCCESS:
                    return sample.value
    return 0.0


def ending(exit_code: int | None, now: float, success: float) -> Iterable[Metric]:
    """Yield the metrics that every ended run has; a killed run has no exit code."""
    yield gauge("bulksync_last_run_timestamp_seconds", "When the latest run ended.", now)
    yield gauge(SUCCESS, "When a run last ended with exit code 0; 0 if never.", success)
    if exit_code is not None:
        yield gauge("bulksync_exit_code", "Exit code of the latest run: what to do next.", exit_code)


def counts(summary: Summary) -> Iterable[Metric]:
    """Yield the counts of a summary; labels take few values: no IDs, and no words from the server or the input."""
    yield labelled(
        "bulksync_run_info",
        "Which bulksync ran, and to where.",
        [({"version": __version__, "target": summary.target}, 1)],
    )
    rows = [({"outcome": outcome.value}, summary.outcomes.get(outcome, 0)) for outcome in Outcome]
    yield labelled("bulksync_rows", "Rows of the input by what became of them.", rows)
    errors = [({"error": error}, count) for error, count in summary.errors.items()]
    yield labelled("bulksync_row_errors", "Rows that were not updated by the reason.", errors)
    yield gauge("bulksync_requests", "Requests that the run put on the wire.", summary.requests)
    yield gauge("bulksync_retries", "Requests that repeated an earlier one of the same row.", summary.retries)
    yield gauge("bulksync_throttled_requests", "Requests answered with 429.", summary.throttled)
    pauses = "Times that all requests were paused, because the server asked or was unreachable."
    yield gauge("bulksync_pauses", pauses, summary.pauses)
    yield gauge("bulksync_pause_seconds", "Time that every request was held back.", summary.paused_seconds)
    yield gauge("bulksync_duration_seconds", "Time from the first request to the last answer.", summary.elapsed_seconds)
    # Not a summary with quantiles: the collector would add a count and a sum of 0 to it.
    known = [({"percentile": name[1:]}, value / 1000) for name, value in summary.latency_ms if value is not None]
    yield labelled("bulksync_latency_seconds", "Time to an answer that so many percent did not exceed.", known)


def gauge(name: str, help_text: str, value: float) -> Metric:
    """Return a metric with a single value."""
    return GaugeMetricFamily(name, help_text, value=value)


def labelled(name: str, help_text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    """Return a metric with a value for each set of labels."""
    metric = GaugeMetricFamily(name, help_text)
    for labels, value in samples:
        metric.add_sample(name, labels, value)
    return metric


def named(metrics: Iterable[Metric], name: str) -> Iterable[Metric]:
    """Label every sample with the file's *name*: two jobs with a file each are two series that do not clash."""
    for metric in metrics:
        metric.samples = [sample._replace(labels={"name": name, **sample.labels}) for sample in metric.samples]
        if metric.samples:
            yield metric
