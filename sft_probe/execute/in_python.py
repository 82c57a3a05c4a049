"""From Python and notebooks: models, rows and files as they are at hand, compared with their base."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.load import read_rows
from sft_probe.errors import ModelError
from sft_probe.execute.checking import Checked, check
from sft_probe.execute.local import run_study
from sft_probe.execute.pairs import look, names_of, prepare_looks
from sft_probe.execute.prepare import load_data_set, set_threads
from sft_probe.execute.quiet import quiet
from sft_probe.models.load import (
    LoadedModel,
    base_inside,
    load_base,
    load_tokenizer,
    pristine,
    with_pad_token,
)
from sft_probe.models.sharing import shared_copy
from sft_probe.probes import STANDARD
from sft_probe.report.opened import Runs, open_runs
from sft_probe.store.runs import BASE, RunStore
from sft_probe.study.folding import probe_specs
from sft_probe.study.progress import Silent
from sft_probe.study.spec import ModelSpec, StudySpec
from sft_probe.study.yaml import parse_study, read_yaml

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Model = str | Path | nn.Module
Rows = str | Path | Dataset | Iterable[Mapping[str, Any]]
TUNED = "tuned"  # what one model in memory is called


def probe(  # noqa: PLR0913  (a function for notebooks: all but three arguments have a default)
    base: Model | None,
    tuned: Model | Sequence[str | Path] | Mapping[str, Model],
    data: Rows | Mapping[str, Rows],
    *,
    probes: Sequence[Any] = STANDARD,
    tokenizer: PreTrainedTokenizerBase | None = None,
    output_dir: str | Path | None = None,
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> Runs:
    """Look at a base and at what was trained from it; return what was measured.

    base: a folder, a hub id, `planted`, a model in memory, or None for the base inside a peft model.
    tuned: the same, several paths, or models by name; what is in memory is given back unchanged.
    data: rows to probe on, as a file, folder, hub id or rows in memory; or several such by name, of which
      "test" is the one that most probes ask for.  limit: of rows of "test".
    probes: as in a study, e.g. `["task_alignment", {"forgetting": {"tasks": ["world"]}}]`.
    tokenizer: needed where a model in memory does not say where it came from.  device, dtype: of what is read
      from disk.  output_dir: where runs are kept; a temporary folder if not given.
    Raises: InputError before any compute if something given cannot be used.
    """
    temporary = None if output_dir else tempfile.TemporaryDirectory(prefix="sft-probe-")
    folder = Path(output_dir or cast("tempfile.TemporaryDirectory[str]", temporary).name)
    specs, sets = probe_specs(probes), as_data_sets(data, folder, limit)
    subjects = _subjects(tuned)
    spec = ModelSpec.model_validate(
        {"model_name_or_path": str(base) if isinstance(base, str | Path) else TUNED}
        | {"device": device, "dtype": dtype}
    )
    loaded, threads = _base(base, spec, subjects, tokenizer), torch.get_num_threads()
    ensure_chat_template(loaded.tokenizer)
    named = spec.model_name_or_path if isinstance(base, str | Path) else loaded.path
    try:
        set_threads(spec, loaded)
        with quiet():
            prepared, store = prepare_looks(loaded, sets, specs, folder, named=named), RunStore(folder)
            look(BASE, None, prepared, store, Silent())
            for name, subject in subjects.items():
                look(name, subject, prepared, store, Silent())
    finally:
        torch.set_num_threads(threads)
    return open_runs(folder, keep=temporary)


def run(
    study: str | Mapping[str, Any] | StudySpec, *, output_dir: str | Path | None = None, lang: str = "en"
) -> Runs:
    """Train and probe every arm of a study; return what was measured.

    study: YAML text, the same as keys and values, or what `load_study` read.  lang: as of `open_runs`.
    output_dir: where runs are kept, and from where they are resumed; else as the study says, else a temporary
      folder that lives as long as the result.
    Raises: InputError before any compute if something given cannot be used; RunsFailed, once the other runs
      are finished, if some failed.
    """
    spec, temporary = _study(study, output_dir)
    with quiet():
        run_study(spec)
    return open_runs(spec.output_dir, lang=lang, keep=temporary)


def validate(study: str | Mapping[str, Any] | StudySpec) -> Checked:
    """Read a study, audit its data and choose its probes; train nothing. study: as for `run`.

    Raises: InputError if something given cannot be used.
    """
    spec, _temporary = _study(study, None)
    return check(spec)


def as_data_sets(data: Rows | Mapping[str, Rows], output_dir: Path, limit: int | None = None) -> DataSets:
    """Named data sets from what somebody has at hand; one alone is "test". Raises: DataError."""
    named = cast("Mapping[str, Rows]", data) if isinstance(data, Mapping) else {"test": data}
    return DataSets(
        {
            name: _data_set(rows, name, output_dir, limit if name == "test" else None)
            for name, rows in named.items()
        }
    )


def is_peft(model: object) -> bool:
    """Whether it is a peft model, rather than one that adapters were put into."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def base_in_memory(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None) -> LoadedModel:
    """A model in memory as a base, over the same weights; under adapters, the base inside.

    Raises: ModelError if there is no tokenizer, or adapters lie in a model that is no peft model.
    """
    if tokenizer is None:
        path = str(getattr(getattr(model, "config", None), "_name_or_path", ""))
        if not path:
            raise ModelError("a model in memory comes without its tokenizer.", remedy="Give `tokenizer=`.")
        tokenizer = load_tokenizer(path)
    name = str(getattr(model, "name_or_path", "")) or "in memory"
    own = with_pad_token(copy.deepcopy(tokenizer), name)  # what it lacks is added to ours, not to theirs
    ensure_chat_template(own)
    if is_peft(model):
        return base_inside(model, own, path=name)
    if any(hasattr(module, "base_layer") for module in model.modules()):
        raise ModelError(
            "adapters lie in the base that was given.",
            remedy="Give None as base, and the peft model as tuned.",
        )
    copied = cast("PreTrainedModel", shared_copy(model))
    return pristine(copied, own, path=name, device=next(model.parameters()).device)


def _study(
    study: str | Mapping[str, Any] | StudySpec, output_dir: str | Path | None
) -> tuple[StudySpec, tempfile.TemporaryDirectory[str] | None]:
    """A study with a folder for its runs, and what keeps that folder if it is a temporary one."""
    if isinstance(study, StudySpec):
        folder = Path(output_dir) if output_dir else study.output_dir
        return study.model_copy(update={"output_dir": folder}), None
    raw = read_yaml(study, "study") if isinstance(study, str) else study
    if not isinstance(raw, Mapping):
        return parse_study(str(study)), None  # which says what is expected
    given, temporary = dict(raw), None
    if output_dir:
        given["output_dir"] = str(output_dir)
    elif "output_dir" not in given:
        temporary = tempfile.TemporaryDirectory(prefix="sft-probe-")
        given["output_dir"] = temporary.name
    return parse_study(given), temporary


def _base(
    base: Model | None,
    spec: ModelSpec,
    subjects: Mapping[str, str | nn.Module],
    tokenizer: PreTrainedTokenizerBase | None,
) -> LoadedModel:
    if base is None:
        adapted = [subject for subject in subjects.values() if is_peft(subject)]
        if len(adapted) != 1:
            raise ModelError("without a base, exactly one peft model in memory is compared.", field="tuned")
        return base_in_memory(cast("nn.Module", adapted[0]), tokenizer)
    return base_in_memory(base, tokenizer) if isinstance(base, nn.Module) else load_base(spec)


def _subjects(tuned: Model | Sequence[str | Path] | Mapping[str, Model]) -> dict[str, str | nn.Module]:
    """Models in memory as they are, paths as text, each by its name. Raises: ModelError for a name twice."""
    if isinstance(tuned, Mapping):
        return {name: m if isinstance(m, nn.Module) else str(m) for name, m in tuned.items()}
    if isinstance(tuned, nn.Module):
        return {TUNED: tuned}
    paths = [tuned] if isinstance(tuned, str | Path) else tuned
    return dict(names_of([str(path) for path in paths]))


def _data_set(rows: Rows, name: str, output_dir: Path, limit: int | None) -> Dataset:
    if isinstance(rows, str | Path):
        return load_data_set(str(rows), name, output_dir, limit=limit)
    if isinstance(rows, Dataset):
        return Dataset(name, rows.examples[:limit], rows.source)
    return read_rows(rows, name=name, limit=limit)
