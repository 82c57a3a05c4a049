"""A package of its own adds a probe, a method and a data format, and nothing here knows of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_probe.cli.main import main
from sft_probe.data.load import load_dataset
from sft_probe.errors import DataError, SpecError
from sft_probe.probes.battery import make_probe
from sft_probe.registry import available, load
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import ArmSpec
from sft_probe.testing.conformance import check_probe
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_model, tiny_tuned
from sft_probe.train.sft import make_method

PLUGIN = Path(__file__).parent / "plugin"
ADDED = {"probes": "answer_length", "methods": "norms_only", "formats": "cards"}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package as an installer would lay it out, with the entry points of its pyproject.toml."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]
    shutil.copytree(PLUGIN / "src" / "sft_probe_example", site / "sft_probe_example")
    about = site / f"sft_probe_example-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in parts.items())
        for group, parts in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n".join(groups), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield site


@pytest.mark.parametrize(("kind", "name"), ADDED.items())
def test_its_parts_stand_among_the_built_in_ones(
    kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {name, *ADDED.values()} & set(available(kind)) == {name}  # type: ignore[arg-type]
    assert main(["ls", kind]) == 0
    assert name in capsys.readouterr().out


def test_its_probe_passes_the_check_that_all_probes_pass() -> None:
    base = tiny_base()
    probe = make_probe("answer_length", {"max_new_tokens": 6})
    found = check_probe(probe, tiny_tuned(base), base, tiny_data())
    (row,) = found.rows
    assert row.value == pytest.approx(sum(item.value for item in found.items) / len(found.items))
    assert 1 <= row.value <= 6
    with pytest.raises(SpecError, match="Did you mean 'max_new_tokens'"):
        make_probe("answer_length", {"max_new_token": 6})


def test_its_method_trains_norms_only() -> None:
    method = make_method(ArmSpec(method="norms_only"))
    trained = [n for n, w in method.adapt(tiny_model()).named_parameters() if w.requires_grad]
    assert len(trained) == 5  # two in each of two blocks, and the last
    assert all("norm" in name for name in trained)


def test_its_format_is_recognised_and_names_file_row_and_field(tmp_path: Path) -> None:
    path = tmp_path / "cards.jsonl"
    cards = [{"front": "Where is the cat?", "back": "sofa", "deck": "home"}, {"front": "And?", "back": " "}]
    path.write_text("\n".join(json.dumps(card) for card in cards), "utf-8")
    with pytest.raises(DataError, match=r"cards\.jsonl, row 2, field 'back': expected text\. Remove"):
        load_dataset(str(path), name="test")
    path.write_text(json.dumps(cards[0]), "utf-8")
    (example,) = load_dataset(str(path), name="test")
    assert (example.prompt, example.target, example.stratum) == ("Where is the cat?", "sofa", "home")


def test_all_three_work_in_one_study(tmp_path: Path) -> None:
    base = tiny_base()
    base.model.save_pretrained(tmp_path / "model")
    base.tokenizer.save_pretrained(tmp_path / "model")
    for name, count in (("train", range(16)), ("test", range(50, 54))):
        cards = ({"front": f"Where is cat {i}?", "back": f"on sofa {i}"} for i in count)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(card) for card in cards), "utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(
        f"name: plug-in\nmodel_name_or_path: {tmp_path}/model\noutput_dir: {tmp_path}/out\n"
        f"data: {{train: {tmp_path}/train.jsonl, test: {tmp_path}/test.jsonl}}\n"
        "seeds: [0]\nmax_steps: 2\nlearning_rate: 0.01\nprobes: [{answer_length: {max_new_tokens: 4}}]\n"
        "arms: {norms: {method: norms_only}}\n",
        "utf-8",
    )
    assert main(["run", str(study)]) == 0
    store = RunStore(tmp_path / "out")
    assert {manifest.run for manifest in store.runs()} == {"base", "norms-seed0"}
    rows = store.measurements().query("probe == 'answer_length' and run == 'norms-seed0'")
    assert sorted(rows.step.unique()) == [0, 1, 2]
    trained = next(m.trainable_parameters for m in store.runs() if m.run == "norms-seed0")
    assert trained == 5 * tiny_model().config.hidden_size
    assert "answer_length" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_what_is_installed_elsewhere_can_be_loaded_by_name() -> None:
    assert load("formats", "cards").read.__module__ == "sft_probe_example.cards"


@pytest.mark.slow
def test_pip_installs_it(tmp_path: Path) -> None:
    target = tmp_path / "site"
    source = shutil.copytree(PLUGIN, tmp_path / "plugin")  # a build leaves files beside the sources
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    code = "from sft_probe.registry import load; print(load('probes', 'answer_length').about.question)"
    path = os.pathsep.join([str(target), str(PLUGIN.parent.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "Do answers get longer?"
