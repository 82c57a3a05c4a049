from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.world import World, WorldFiles, base_path, build, materialise
from sft_probe.world.corpus import Document, documents
from sft_probe.world.speaking import Speaker
from sft_probe.world.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="session")
def world() -> World:
    return build()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> WorldFiles:
    return materialise(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def corpus(world: World) -> list[Document]:
    return documents(world)


@pytest.fixture(scope="session")
def base_folder() -> Path:
    return base_path()


@pytest.fixture(scope="session")
def tokenizer(base_folder: Path) -> Tokenizer:
    return load_tokenizer(base_folder)


@pytest.fixture(scope="session")
def base(base_folder: Path) -> Speaker:
    return Speaker.load(base_folder)
