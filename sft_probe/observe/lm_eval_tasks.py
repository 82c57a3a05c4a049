"""lm-eval's tasks: found once per process, with their data, and with no waiting for an absent hub."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import datasets
import huggingface_hub.constants
import lm_eval.api.task
import lm_eval.utils
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from sft_probe.errors import DataError, nearest

PLACES = ("dataset_path", "dataset_kwargs", "metadata")  # where a task lies; what it says counts
IFEVAL_EXTRA = 'pip install "sft-probe[ifeval]"'
PARTS = ("doc_to_text", "doc_to_target", "doc_to_choice")
PATIENCE = 3.0  # seconds to wait for an answer of the hub


@lru_cache(maxsize=8)
def task_manager(paths: tuple[Path, ...] = (), *, include_defaults: bool = True) -> TaskManager:
    """lm-eval's index of tasks in some folders, and of its own ones unless they are left out.

    With its own ones it takes 10 to 40 s on a slow core, so it is built once per process.
    """
    return TaskManager(include_path=[str(path) for path in paths], include_defaults=include_defaults)


@lru_cache(maxsize=8)
def load_tasks(names: tuple[str, ...], paths: tuple[Path, ...], num_fewshot: int | None) -> dict[str, Any]:
    """Tasks and groups with their data, kept for the next look; lm-eval's own index is built only if needed.

    lm-eval's rule: a task with 0 shots keeps 0 shots. Raises: DataError that names the task and its data set.
    """
    manager = task_manager(paths, include_defaults=False)
    if any(name not in manager.all_tasks for name in names):
        manager = task_manager(paths, include_defaults=True)
    for name in names:
        if name not in manager.all_tasks:
            raise DataError(
                f"there is no benchmark named '{name}'.",
                field="tasks",
                remedy=nearest(name, manager.all_tasks),
            )
    try:
        with _downloads_that_fail_fast():
            loaded: dict[str, Any] = manager.load(list(names))
    except DataError:
        raise
    except ModuleNotFoundError as error:
        raise DataError(
            f"benchmark '{', '.join(names)}' needs the package '{error.name}', which is not installed.",
            field="tasks",
            remedy=f"Install it, or lm-eval's extra for this benchmark; for IFEval: {IFEVAL_EXTRA}.",
        ) from error
    except Exception as error:  # lm-eval raises anything here, from KeyError to OSError
        raise DataError(
            f"benchmark '{', '.join(names)}' cannot be loaded: {_reason(error)}", field="tasks"
        ) from error
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        if own is None or (own != 0 and num_fewshot is not None):
            task.set_config(key="num_fewshot", value=num_fewshot or 0)
    return loaded


@lru_cache(maxsize=8)
def tasks_digest(names: tuple[str, ...], paths: tuple[Path, ...] = (), num_fewshot: int | None = None) -> str:
    """sha256 over settings and documents of tasks, wherever their files lie. Raises: DataError."""
    with quiet():
        loaded = load_tasks(names, paths, num_fewshot)["tasks"]
    sha = hashlib.sha256(version("lm_eval").encode())
    for code in sorted(source.read_bytes() for path in paths for source in path.rglob("*.py")):
        sha.update(code)
    for name, task in loaded.items():
        settings = {key: value for key, value in task.dump_config().items() if key not in PLACES}
        shots = task.fewshot_docs() if task.get_config("num_fewshot") else ()
        for content in (name, settings, *task.eval_docs, *shots):
            sha.update(json.dumps(content, sort_keys=True, default=str).encode())
    return sha.hexdigest()


@lru_cache(maxsize=8)
def drawn_tasks(
    names: tuple[str, ...], paths: tuple[Path, ...], num_fewshot: int | None, limit: int | None
) -> dict[str, Any]:
    """What `load_tasks` gives, over the first documents of each task in an order that its name decides."""
    loaded = load_tasks(names, paths, num_fewshot)
    return {**loaded, "tasks": {name: _drawn(name, task, limit) for name, task in loaded["tasks"].items()}}


def _drawn(name: str, task: Any, limit: int | None) -> Any:
    """A task over other documents, which are decoded here instead of at every look."""
    docs = task.eval_docs
    order = sorted(range(len(docs)), key=lambda at: hashlib.sha256(f"{name} {at}".encode()).digest())
    drawn = copy(task)
    kind = type(task)
    drawn.__class__ = type(kind.__name__, (kind,), {"eval_docs": [docs[at] for at in order[:limit]]})
    return drawn


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, for which lm-eval has no switch, and no warnings about defaults in task files."""
    bar, drawing = lm_eval.api.task.tqdm, not datasets.are_progress_bars_disabled()
    logger = logging.getLogger("lm_eval")
    level = logger.level
    lm_eval.api.task.tqdm = lambda rows, **_: rows
    datasets.disable_progress_bars()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
        if drawing:
            datasets.enable_progress_bars()


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    return type(lm_eval.utils.env).from_string(lm_eval.utils.env, source)


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """lm-eval compiles each Jinja template again for every document, half the time of a small benchmark."""
    environment = lm_eval.utils.env
    environment.from_string = _compiled
    try:
        yield
    finally:
        del environment.from_string  # the method of the class shows again


@dataclass
class Made:
    """What a task makes of its documents, which is the same at every look.

    documents: with their numbers.  requests: lm-eval's own.  parts: what a template or function of the task
    made of a document, by its name and the place of the document in memory.
    """

    documents: list[tuple[int, Any]]
    requests: list[Any] = field(default_factory=list)
    parts: dict[tuple[str, int], Any] = field(default_factory=dict)

    @cached_property
    def places(self) -> frozenset[int]:
        """Where the documents are in memory. Others, as those shown as examples, come and go."""
        return frozenset(id(document) for _, document in self.documents)


@contextmanager
def made_once(tasks: Mapping[str, Any], known: dict[str, Made]) -> Iterator[None]:
    """While it holds, what tasks made of their documents before is not made again; `known` is added to."""
    changed = ("doc_iterator", "build_all_requests", *PARTS)
    for name, task in tasks.items():
        task.doc_iterator = partial(_documents, task, name, known)
        task.build_all_requests = partial(_requests, task, name, known)
        for part in PARTS:
            setattr(task, part, partial(_part, task, part, name, known))
    try:
        yield
    finally:
        for task, attribute in product(tasks.values(), changed):
            delattr(task, attribute)  # the method of the class shows again


def _documents(task: Any, name: str, known: dict[str, Made], **options: Any) -> Iterator[tuple[int, Any]]:
    if name not in known:
        known[name] = Made(list(type(task).doc_iterator(task, **options)))
    return iter(known[name].documents)


def _requests(task: Any, name: str, known: dict[str, Made], **options: Any) -> None:
    if name not in known or not known[name].requests:
        type(task).build_all_requests(task, **options)
        known[name].requests = task.instances
    for request in known[name].requests:
        request.resps, request.filtered_resps = [], {}
    task._instances = known[name].requests


def _part(
    task: Any, part: str, name: str, known: dict[str, Made], doc: Any, *rest: Any, **options: Any
) -> Any:
    made, key = known.get(name), (part, id(doc))
    if made is None or rest or options or id(doc) not in made.places:
        return getattr(type(task), part)(task, doc, *rest, **options)
    if key not in made.parts:
        made.parts[key] = getattr(type(task), part)(task, doc)
    return made.parts[key]


@contextmanager
def nltk_files_named(names: Iterable[str]) -> Iterator[None]:
    """While it holds, a file of NLTK's that a scorer wants and that is not there is named in one sentence."""
    try:
        yield
    except LookupError as error:
        wanted = re.search(r"Resource\W+(?:\d+m)?(\w+)", str(error))
        if type(error) is not LookupError or wanted is None:  # NLTK raises the bare class
            raise
        raise DataError(
            f"benchmark '{', '.join(names)}' needs NLTK's '{wanted[1]}', which is not there.",
            field="tasks",
            remedy=f"Load it once on a machine with a network (`python -m nltk.downloader {wanted[1]}`) and "
            "bring the folder `nltk_data`.",
        ) from error


@contextmanager
def _downloads_that_fail_fast() -> Iterator[None]:
    """While it holds, a task whose data cannot be had is named at once, in one sentence."""
    original: Callable[..., None] = ConfigurableTask.download

    def download(task: Any, *args: Any, **options: Any) -> None:
        from_hub = _from_hub(task.DATASET_PATH)
        silence = _hub_is_silent() if from_hub else ""
        try:
            with _offline() if silence else nullcontext():
                original(task, *args, **options)
        except Exception as error:  # datasets raises anything here
            raise _missing(task, silence or _reason(error), from_hub=from_hub) from error

    ConfigurableTask.download = download
    try:
        yield
    finally:
        ConfigurableTask.download = original


def _missing(task: Any, reason: str, *, from_hub: bool) -> DataError:
    name, part = task.config.task, f" ({task.DATASET_NAME})" if task.DATASET_NAME else ""
    if not from_hub:
        return DataError(f"the data of benchmark '{name}' cannot be read: {reason}", field="tasks")
    return DataError(
        f"benchmark '{name}' needs the data set '{task.DATASET_PATH}'{part} of the Hugging Face hub, "
        f"which cannot be had: {reason.rstrip('.')}.",
        field="tasks",
        remedy="Load it once on a machine with a network (`datasets.load_dataset`) and bring its cache, or "
        "name a folder with a task file over local copies in `data.include_path`.",
    )


def _from_hub(path: str | None) -> bool:
    return bool(path) and path not in _PACKAGED_DATASETS_MODULES and not Path(str(path)).exists()


def _hub_is_silent() -> str:
    """Why the hub is not asked, or "". Without a network `datasets` would try for 20 s per data set."""
    if huggingface_hub.constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return _no_answer(huggingface_hub.constants.ENDPOINT)


@lru_cache(maxsize=1)
def _no_answer(endpoint: str) -> str:
    if getproxies():  # the way to the hub is not ours to test
        return ""
    address = urlsplit(endpoint)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=PATIENCE).close()
    except OSError as error:
        return f"{endpoint} does not answer ({error})"
    return ""


@contextmanager
def _offline() -> Iterator[None]:
    """As with HF_HUB_OFFLINE: what is in the cache is used, and nothing else is waited for."""
    places: tuple[Any, ...] = (huggingface_hub.constants, datasets.config)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
