"""Bundles from and to a model hub: the real client against a real server on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from fsb_perception.bundles.bundle import find_bundle, load_bundle, pull_bundle
from fsb_perception.bundles.card import model_card, push_bundle
from fsb_perception.bundles.hub import CARD, LARGEST, HubError, HubId
from fsb_perception.bundles.manifest import FORMAT_VERSION, MANIFEST, WEIGHTS, BundleError
from fsb_perception.bundles.seal import SEAL, sealed
from tests.bundles import random_bundle
from tests.hub_server import FACES, Hub, Repository

WRITER = "hf_of_a_writer"


def changed(contents: dict[str, bytes], **fields: object) -> dict[str, bytes]:
    manifest = {n: v for n, v in json.loads(contents[MANIFEST]).items() if n != SEAL} | fields
    return contents | {MANIFEST: sealed(json.dumps(manifest, indent=2) + "\n").encode()}


def fsb(hub: Hub, cache: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Status and output of the command line, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "COLUMNS": "200"} | environment
    run = subprocess.run(
        [sys.executable, "-m", "fsb_perception.cli", "bundle", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lab/faces", HubId("lab/faces")),
        ("Lab-1/faces_v1.0", HubId("Lab-1/faces_v1.0")),
        ("lab/faces@v2", HubId("lab/faces", "v2")),
        ("lab/faces@refs/pr/3", HubId("lab/faces", "refs/pr/3")),
        *((text, None) for text in ("nano", "", "/lab/faces", "./faces", "../faces", "~/faces")),
        *((text, None) for text in ("a/b/c", "lab/", "lab/faces@", "lab/faces@../../x", "la b/c")),
        *((text, None) for text in ("lab/a..b", "lab/a--b", "lab/faces.git", "lab/faces\n")),
        *((text, None) for text in ("lab/faces@/etc", "lab/" + 97 * "a", "C:\\lab/faces")),
    ],
)
def test_what_is_a_hub_id(text: str, expected: HubId | None) -> None:
    assert HubId.parse(text) == expected
    assert expected is None or str(expected) == text


def test_a_pulled_bundle_is_the_one_that_was_pushed(
    hub: Hub, faces: Repository, folder: Path
) -> None:
    pulled = pull_bundle(FACES)
    assert pulled.bundle_id == load_bundle(folder).bundle_id
    before = list(hub.asked)
    assert load_bundle("lab/faces") == pulled
    assert load_bundle("lab/faces", allow_download=True) == pulled
    assert hub.asked == before, "what was pulled needs no network"
    assert sorted(path.name for path in pulled.folder.iterdir()) == [CARD, MANIFEST, WEIGHTS]
    assert not hub.asked_for("old.bin")
    pulled.build_model()


def test_nothing_is_downloaded_unless_asked(hub: Hub, faces: Repository) -> None:
    with pytest.raises(BundleError, match="get it with `fsb bundle pull lab/faces`"):
        load_bundle("lab/faces")
    assert hub.asked == []
    assert load_bundle("lab/faces", allow_download=True).name == "random"


def test_revisions_lie_side_by_side(hub: Hub, faces: Repository, files: dict[str, bytes]) -> None:
    first = faces.refs["main"]
    faces.commit(changed(files, name="second"), ref="v2")
    assert load_bundle("lab/faces@v2", allow_download=True).name == "second"
    assert load_bundle(f"lab/faces@{first}", allow_download=True).name == "random"
    assert load_bundle("lab/faces@v2").name == "second"
    with pytest.raises(BundleError, match="bundle pull lab/faces"):
        load_bundle("lab/faces")


def test_a_newer_format_is_refused_before_its_weights(
    hub: Hub, faces: Repository, files: dict[str, bytes]
) -> None:
    newer = FORMAT_VERSION + 1
    faces.commit(changed(files, format_version=newer, news="more"))
    with pytest.raises(BundleError, match=rf"format {newer}, .* reads up to {FORMAT_VERSION}: upd"):
        pull_bundle(FACES)
    assert hub.asked_for(MANIFEST)
    assert not hub.asked_for(WEIGHTS)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda files: files.pop(WEIGHTS), r"is no bundle: it has no weights\.safetensors"),
        (lambda files: files.pop(MANIFEST), r"is no bundle: it has no manifest\.json"),
        (lambda files: files.update({MANIFEST: b"{"}), "cannot be read"),
        (lambda files: files.update(changed(files, files={"old.bin": 64 * "0"})), "no other file"),
        (lambda files: files.update(changed(files, files={})), "no sha256"),
    ],
    ids=["no-weights", "no-manifest", "not-json", "other-file", "no-hash"],
)
def test_what_is_no_bundle_is_refused(
    hub: Hub,
    faces: Repository,
    files: dict[str, bytes],
    harm: Callable[[dict[str, bytes]], object],
    message: str,
) -> None:
    harm(files)
    faces.commit(files)
    with pytest.raises(BundleError, match=message):
        pull_bundle(FACES)
    assert not hub.asked_for("old.bin")
    with pytest.raises(BundleError, match="get it with"):
        load_bundle("lab/faces")


@pytest.mark.parametrize("name", sorted(LARGEST))
def test_files_too_large_are_not_downloaded(hub: Hub, faces: Repository, name: str) -> None:
    hub.claimed[name] = LARGEST[name] + 1
    with pytest.raises(BundleError, match="it was not downloaded"):
        pull_bundle(FACES)
    assert not any("/resolve/" in path for path in hub.asked)


def test_tampered_weights_are_thrown_away(hub: Hub, faces: Repository, tmp_path: Path) -> None:
    hub.broken.add(WEIGHTS)
    with pytest.raises(BundleError, match=r"has sha256 .* do not use it"):
        pull_bundle(FACES)
    assert not list((tmp_path / "cache").rglob(WEIGHTS))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    hub.broken.clear()
    assert pull_bundle(FACES).name == "random", "a second try gets the good ones"


def test_a_bad_pull_leaves_the_last_good_one_in_use(
    hub: Hub, faces: Repository, files: dict[str, bytes]
) -> None:
    good = pull_bundle(FACES)
    faces.commit(changed(files, name="bad") | {WEIGHTS: files[WEIGHTS] + b"\0"})
    with pytest.raises(BundleError, match="has sha256"):
        pull_bundle(FACES)
    assert load_bundle("lab/faces") == good
    faces.commit(changed(files, name="better"))
    assert pull_bundle(FACES).name == load_bundle("lab/faces").name == "better"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("lab/nothing", "shows no model lab/nothing: check the name; if it is private, log in"),
        ("lab/faces@v9", "lab/faces has no revision 'v9'"),
    ],
)
def test_unknown_repositories_and_revisions(
    hub: Hub, faces: Repository, reference: str, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(reference, allow_download=True)


def test_a_gated_repository_says_where_to_consent(hub: Hub, faces: Repository) -> None:
    hub.gated = True
    with pytest.raises(BundleError, match="asks for consent"):
        pull_bundle(FACES)


def test_offline_what_was_pulled_still_loads(
    hub: Hub, faces: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled = pull_bundle(FACES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_bundle("lab/faces", allow_download=True) == pulled
    with pytest.raises(BundleError, match="HF_HUB_OFFLINE is set"):
        load_bundle("lab/other", allow_download=True)


def test_no_network_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BundleError, match=r"could not serve lab/faces: .*Try again later\.$"):
        load_bundle("lab/faces", allow_download=True)


def test_a_folder_wins_over_a_hub_id(
    hub: Hub, faces: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_bundle(FACES)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab").mkdir()
    assert find_bundle("lab/faces").parent.name == "snapshots"
    (tmp_path / "lab" / "faces").mkdir()
    with pytest.raises(BundleError, match=r"no manifest\.json in it\. To use the hub's lab/faces"):
        find_bundle("lab/faces")
    random_bundle(tmp_path / "lab" / "faces", name="here")
    assert load_bundle("lab/faces").name == "here"
    with pytest.raises(BundleError, match="unknown bundle"):
        find_bundle(Path("lab/others"))  # a Path is never a hub id


def test_pushed_and_pulled_is_the_same(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITER)
    bundle = load_bundle(folder)
    (folder / "portrait.jpg").write_bytes(b"a face")
    address = push_bundle(bundle, FACES)
    repository = hub.repositories[FACES.repo]
    assert repository.private
    assert address.endswith(repository.refs["main"])
    assert sorted(repository.files) == [CARD, MANIFEST, WEIGHTS]
    assert repository.files[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    assert repository.files[CARD].decode() == model_card(bundle, FACES)
    assert pull_bundle(FACES).bundle_id == bundle.bundle_id


def test_a_public_repository_is_not_taken_for_a_private_one(
    hub: Hub, faces: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITER)
    commits = dict(faces.commits)
    with pytest.raises(HubError, match="can be read by everybody: add --public"):
        push_bundle(load_bundle(folder), FACES)
    assert faces.commits == commits
    push_bundle(load_bundle(folder), FACES, private=False)
    assert len(faces.commits) == 2


@pytest.mark.parametrize(
    ("token", "options", "message"),
    [
        ("", {}, "log in with `hf auth login`"),
        ("hf_of_a_reader", {}, "could not serve lab/faces: .*403"),
        (WRITER, {"create": False}, "shows no model lab/faces"),
    ],
)
def test_pushing_without_the_means(
    hub: Hub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    options: dict[str, bool],
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message):
        push_bundle(load_bundle(folder), FACES, **options)
    assert hub.repositories == {}


def test_pushing_to_a_revision_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match="give lab/faces, not lab/faces@v2"):
        push_bundle(load_bundle(folder), HubId("lab/faces", "v2"))


def test_the_card_is_the_manifest_in_words(tmp_path: Path) -> None:
    harmful = "first | cell\n# heading"
    bundle = random_bundle(
        tmp_path,
        limits=harmful,
        metrics={harmful: {"gender": {"accuracy": 0.5, "count": 1234}}},
        training_data=[{"name": "Pictures", "count": 9, "licence": harmful}],
    )
    card = model_card(bundle, FACES)
    front, body = card.removeprefix("---\n").split("\n---\n")
    assert "license: other" in front
    assert "| first / cell # heading | gender | 0.500 | 1,234 |" in body
    assert "| Pictures | 9 | first / cell # heading |" in body
    assert "fsb bundle pull lab/faces" in body
    assert f"- bundle: {bundle.bundle_id}" in body
    assert "- adapter: full" in body
    assert "\n# heading" not in card
    assert str(tmp_path) not in card
    known = bundle.manifest.model_copy(update={"licence": "CC-BY-4.0"})
    assert "license: cc-by-4.0" in model_card(type(bundle)(tmp_path, known, "0" * 64), FACES)


def test_the_command_line_pushes_and_pulls(hub: Hub, folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "home"
    status, output = fsb(hub, cache, "push", str(folder), "lab/faces", "--dry-run")
    assert (status, hub.asked) == (0, [])
    assert "weights.safetensors" in output
    assert "# random" in output
    status, output = fsb(hub, cache, "push", str(folder), "lab/faces", HF_TOKEN=WRITER)
    assert status == 0, output
    assert f"is at {hub.url}/lab/faces/commit/" in output
    status, output = fsb(hub, cache, "pull", "lab/faces")
    assert (status, "is private" in output) == (0, False), output
    assert "is whole" in output
    assert len(list(cache.rglob(WEIGHTS))) == 1
    asked = len(hub.asked)
    status, output = fsb(hub, cache, "show", "lab/faces")
    assert (status, len(hub.asked)) == (0, asked)
    assert "SigLIP2-micro" in output
    assert "adapter" in output


def test_the_command_line_explains_itself(hub: Hub, folder: Path, tmp_path: Path) -> None:
    status, output = fsb(hub, tmp_path, "pull", "lab/faces")
    assert (status, output.count("\n")) == (2, 1)
    assert output.startswith("fsb: the hub shows no model lab/faces")
    harmed = tmp_path / "harmed"
    harmed.mkdir()
    for name in (MANIFEST, WEIGHTS):
        (harmed / name).write_bytes((folder / name).read_bytes())
    with (harmed / WEIGHTS).open("ab") as file:
        file.write(b"\0")
    status, output = fsb(hub, tmp_path, "push", str(harmed), "lab/faces", HF_TOKEN=WRITER)
    assert status == 2
    assert "do not use it" in output
    assert not any("POST" in path for path in hub.asked)
