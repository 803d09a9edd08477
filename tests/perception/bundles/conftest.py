"""A model hub in this process, with one good repository, and an empty cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from fsb_perception.bundles.hub import CARD
from fsb_perception.bundles.manifest import MANIFEST, WEIGHTS
from fsb_perception.bundles.preprocessing import Preprocessing
from tests.bundles import random_bundle
from tests.hub_server import FACES, Hub, HubServer, Repository


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle")
    row = {"backbone": "SigLIP2-micro", "preprocessing": Preprocessing(size=32)}
    random_bundle(path, **row, metrics={"Pictures:dev": {"gender": {"accuracy": 0.5, "count": 9}}})
    return path


@pytest.fixture
def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a good repository, some of which must never be downloaded."""
    wanted = {name: (folder / name).read_bytes() for name in (MANIFEST, WEIGHTS)}
    return wanted | {CARD: b"# faces", ".gitattributes": b"", "old.bin": b"\x80\x04"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Start a hub that huggingface_hub uses in this process, with an empty cache."""
    with HubServer() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.fixture
def faces(hub: Hub, files: dict[str, bytes]) -> Repository:
    hub.repositories[FACES.repo] = repository = Repository()
    repository.commit(files)
    return repository
