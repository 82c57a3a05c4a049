from __future__ import annotations

import pytest

from sft_probe.errors import SpecError
from sft_probe.study.decompose import PROBE, with_arms
from sft_probe.study.spec import ScheduleSpec
from sft_probe.study.yaml import dump_study, parse_study

STUDY = """
name: apart
output_dir: out
train: rows.jsonl
arms: {lora: {method: lora, learning_rate: 1e-3}, full: {}}
reference_arm: full
probes: [task_alignment]
decompose: %s
"""


def test_companions_of_the_reference_arm_differ_in_their_rows_alone() -> None:
    spec = parse_study(STUDY % "true")
    assert list(spec.arms) == ["lora", "full", "full.format", "full.known", "full.sham", "full.unknown"]
    for kind, edit in (("format", "format_only"), ("known", "known_only"), ("sham", "sham")):
        arm = spec.arms[f"full.{kind}"]
        assert [found.name for found in arm.edits] == [edit]
        assert (arm.method, arm.training) == (spec.arms["full"].method, spec.arms["full"].training)
    assert [probe.name for probe in spec.probes] == ["task_alignment", PROBE]
    assert spec.schedule.ends_only == (*ScheduleSpec().ends_only, PROBE)
    assert spec.reference == "full"


def test_the_format_arm_stops_at_the_form_and_another_form_is_taught_only_if_asked() -> None:
    spec = parse_study(STUDY % "{symmetric: true}")
    assert [edit.name for edit in spec.arms["full.mapping"].edits] == ["known_only", "other_form"]
    assert {name for name, arm in spec.arms.items() if arm.stop} == {"full.format"}


def test_a_written_study_reads_back_and_is_not_taken_apart_twice() -> None:
    spec = parse_study(STUDY % "{items: 40, held_out: 0.3}")
    assert spec.decompose is not None
    assert (spec.decompose.items, spec.decompose.held_out) == (40, 0.3)
    assert parse_study(dump_study(spec)) == spec == with_arms(spec)


def test_without_it_nothing_is_added() -> None:
    assert list(parse_study(STUDY % "false").arms) == ["lora", "full"]
    assert parse_study(STUDY % "null").decompose is None


def test_shares_that_leave_no_reserve_are_refused() -> None:
    with pytest.raises(SpecError, match="less than 5 %"):
        parse_study(STUDY % "{held_out: 0.4, paraphrased: 0.3, verbatim: 0.3}")
