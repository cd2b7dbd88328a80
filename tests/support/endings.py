"""How runs end, and what their metrics say of it."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

STOPS = (1, 5, 6, 7, 8, 10, 12, 129, 130, 143)


def series(path: Path) -> Series:
    """Return what Prometheus reads from a file: name and labels (but for the file's own name) to value."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            assert sample.labels["name"] == path.stem
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "name"))
            found[sample.name, labels] = sample.value
    return found


def ending(path: Path) -> tuple[float, bool, bool]:
    """Return what a file says of the latest ending: exit code, whether it was a success, whether there was one ever."""
    found = {name: value for (name, labels), value in series(path).items() if not labels}
    success = found["bulksync_last_success_timestamp_seconds"]
    return found["bulksync_exit_code"], success == found["bulksync_last_run_timestamp_seconds"], success > 0
