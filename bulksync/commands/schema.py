"""`bulksync schema`: the JSON Schema of bulksync's machine-readable output."""

from typing import Any

import orjson
from pydantic import TypeAdapter

from bulksync.report.schema import ReportLine, Summary

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_json() -> str:
    """Return one JSON document: the schema of `--summary` as `summary`, and of a line of a JSON report as `report`."""
    schemas = {
        "summary": {"$schema": DIALECT} | Summary.model_json_schema(mode="serialization"),
        "report": {"$schema": DIALECT} | schema_of_report(),
    }
    return orjson.dumps(schemas, option=orjson.OPT_INDENT_2).decode()


def schema_of_report() -> dict[str, Any]:
    """Return the schema of a report line, which may have more keys: the input's other columns."""
    return TypeAdapter(ReportLine).json_schema(mode="serialization")
