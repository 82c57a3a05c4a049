from __future__ import annotations

from pathlib import Path

import pytest

from analyses.figures import drawing
from analyses.outcomes import Prediction, judge
from analyses.questions import Given, Question, command_line, publish, study_of
from sft_probe.errors import SpecError
from sft_probe.report.charts import Panel

ASKED = Question(name="regularisers", title="What holds a model near its base")


def test_the_command_line_is_read_and_remembered() -> None:
    given = command_line(ASKED, ["-o", "out", "--seeds", "2", "--set", "max_steps=3"])
    assert (given.output_dir, given.reports) == (Path("out"), Path("reports/regularisers"))
    assert (given.seeds, given.settings, given.executor) == (2, {"max_steps": "3"}, None)
    assert given.command == "python -m analyses.regularisers -o out --seeds 2 --set max_steps=3"


def test_folders_are_arguments_only_where_a_question_takes_them() -> None:
    assert command_line(ASKED, ["a", "b"], folders="runs").rest == (Path("a"), Path("b"))
    with pytest.raises(SystemExit):
        command_line(ASKED, ["a"])


def test_what_is_typed_wins_over_the_study(tmp_path: Path) -> None:
    given = Given(output_dir=tmp_path, reports=tmp_path, seeds=2, settings={"max_steps": "3"})
    spec = study_of(ASKED, given)
    assert (spec.seeds, spec.training.max_steps) == ((0, 1), 3)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    given = Given(output_dir=tmp_path, reports=tmp_path, settings={"max_stepz": "3"})
    with pytest.raises(SpecError, match="max_stepz"):
        study_of(ASKED, given)


def test_a_page_has_outcome_numbers_command_and_figure(tmp_path: Path) -> None:
    given = Given(output_dir=tmp_path, reports=tmp_path / "page", command="python -m analyses.regularisers")
    panel = Panel(title="a line", draw=lambda axes: axes.plot([0, 1]) and None, alt="a line that rises")
    said = Prediction(key="1", sentence="it rises", rule="above 0")
    page = publish(
        ASKED,
        given,
        [judge(said, (1.0, 1.1, 1.2), what="rise")],
        {},
        figures={"rise": drawing("rise", "It rises", "nats, three seeds", [panel])},
    )
    text = page.read_text("utf-8")
    assert "**reproduced**" in text
    assert "`python -m analyses.regularisers`" in text
    assert "![rise](rise.svg)" in text
    assert "It rises" in (tmp_path / "page" / "rise.svg").read_text("utf-8")
