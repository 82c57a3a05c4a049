"""Study files: YAML to `StudySpec` and back.

A study is flat where that reads better: keys of `base`, `data` and `training` may stand at the top
(`learning_rate: 1e-4`), training settings may stand in an arm, `seed: 0` means `seeds: [0]`, and a probe is
a name or `name: {options}`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sft_probe.errors import SpecError
from sft_probe.study.checks import check_keys, check_names, readable
from sft_probe.study.decompose import with_arms
from sft_probe.study.folding import change, fold
from sft_probe.study.spec import StudySpec


def load_study(path: str | Path, *, overrides: Mapping[str, str] | None = None) -> StudySpec:
    """Read a study file; `overrides` as in `parse_study`.

    Raises: SpecError with file, key path and remedy.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(
            "there is no such file.", file=path, remedy="Write one with: sft-probe init."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the file cannot be read ({error}).", file=path) from error
    return parse_study(text, file=str(path), overrides=overrides)


def parse_study(
    study: str | Mapping[str, Any], *, file: str = "study", overrides: Mapping[str, str] | None = None
) -> StudySpec:
    """A study from YAML text, or from what such text says as keys and values. `file` is only named in errors.

    overrides: values in YAML by dotted key, e.g. `{"training.max_steps": "10"}`; they win over the text.
    Raises: SpecError with file, key path and remedy.
    """
    raw = read_yaml(study, file) if isinstance(study, str) else copy.deepcopy(dict(study))
    if not isinstance(raw, dict):
        raise SpecError("expected keys and values, such as `name: my_study`.", file=file)
    for key, value in (overrides or {}).items():
        change(raw, key, read_yaml(value, file), file)
    nested = fold(raw, file)
    check_keys(nested, file=file)
    try:
        spec = StudySpec.model_validate(nested)
    except ValidationError as error:
        raise readable(error, file) from error
    spec = with_arms(spec)
    check_names(spec, file)
    return spec


def dump_study(spec: StudySpec) -> str:
    """The study with all defaults as YAML; `parse_study` reads it back to an equal value."""
    return str(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


class _Loader(yaml.SafeLoader):
    """Safe YAML in which keys are text and stand only once: PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping. Raises: yaml.MarkedYAMLError for a key that is no text or stands twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                problem = (
                    f"the key {key!r} {'stands twice' if isinstance(key, str) else 'is not text; quote it'}"
                )
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(text: str, file: str) -> Any:
    """Safe YAML as plain values. Raises: SpecError with line and column."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError(f"this is not YAML{place}: {error.problem}.", file=file) from error
    except yaml.YAMLError as error:
        raise SpecError(f"this is not YAML: {error}.", file=file) from error
