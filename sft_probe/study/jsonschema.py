"""The JSON schema of study files, for completion and checks in editors.

`python -m sft_probe.study.jsonschema > docs/study.schema.json` writes it anew; a test holds it current.
"""

from __future__ import annotations

import json
from typing import Any

from sft_probe.study.folding import SECTIONS, SWITCHES
from sft_probe.study.spec import StudySpec, TrainingSpec


def study_schema() -> dict[str, Any]:
    """The schema of the written form: nested sections, and the flat keys `study/folding.py` accepts."""
    schema = StudySpec.model_json_schema()
    parts, top = schema["$defs"], schema["properties"]
    for section in SECTIONS.values():
        for key, value in section.model_json_schema()["properties"].items():
            top.setdefault(key, value)
    top["seed"] = {"type": "integer", "minimum": 0, "description": "One training seed, in place of `seeds`."}
    for key in SWITCHES:
        top[key]["anyOf"].append({"type": "boolean"})
    trackers = top["report_to"]
    top["report_to"] = {"description": trackers["description"], "anyOf": [{"type": "string"}, trackers]}
    parts["ArmSpec"]["properties"] |= TrainingSpec.model_json_schema()["properties"]
    parts["ArmSpec"]["properties"]["training"] = {"$ref": "#/$defs/TrainingSpec"}
    top["arms"]["additionalProperties"] = {"anyOf": [{"$ref": "#/$defs/ArmSpec"}, {"type": "null"}]}
    top["probes"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/ProbeSpec"}, _ONE_PROBE]}
    schema["required"] = ["name", "output_dir", "arms", "probes"]
    schema["anyOf"] = [{"required": ["data"]}, {"required": ["train"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


_ONE_PROBE = {
    "type": "object",
    "description": "A probe with its options, e.g. `forgetting: {limit: 100}`.",
    "minProperties": 1,
    "maxProperties": 1,
    "not": {"required": ["name"]},
    "additionalProperties": {"anyOf": [{"type": "object"}, {"type": "null"}]},
}


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
