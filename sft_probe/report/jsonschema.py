"""The JSON schema of `report.json`, for whoever reads reports by program.

`python -m sft_probe.report.jsonschema > docs/report.schema.json` writes it anew; a test holds it current.
"""

from __future__ import annotations

import json

from sft_probe.report.document import REPORT_SCHEMA, ReportDocument


def schema_text() -> str:
    """The schema as it is committed."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": REPORT_SCHEMA,
        **ReportDocument.model_json_schema(by_alias=True, mode="serialization"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
