"""A hub that lies: nothing outside the cache, nothing beyond its listing, no endless wait."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir
from typer.testing import CliRunner

from fsb_perception import downloads
from fsb_perception.bundles.bundle import load_bundle, pull_bundle
from fsb_perception.bundles.card import model_card
from fsb_perception.bundles.hub import CARD
from fsb_perception.bundles.manifest import MANIFEST, WEIGHTS, BundleError
from fsb_perception.commands.bundle import app
from fsb_perception.errors import visible
from fsb_perception.towers.checkpoint_files import WeightsError, hub_file
from tests.bundles import random_bundle
from tests.hub_server import FACES, Hub, Repository

Handler = BaseHTTPRequestHandler
UP = "../../../../escaped"


def answer(handler: Handler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in ({"Content_Length": str(len(content))} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("etag", [UP, "/tmp/fsb-escaped", "..", "a/b", "", "x" * 5000, "\x1b[2J"])
def test_an_etag_is_no_path(
    hub: Hub, faces: Repository, files: dict[str, bytes], tmp_path: Path, etag: str
) -> None:
    commit = faces.refs["main"]

    def lie(handler: Handler, path: str) -> bool:
        name = path.rpartition("/")[2]
        if "/resolve/" in path:
            answer(handler, files[name], ETag=etag, X_Linked_Etag=etag, X_Repo_Commit=UP)
        return "/resolve/" in path

    hub.lie = lie
    assert pull_bundle(FACES).name == "random"
    home = "cache/models--lab--faces"
    kept = [
        f"{home}/refs/main",
        *(f"{home}/snapshots/{commit}/{n}" for n in (CARD, MANIFEST, WEIGHTS)),
    ]
    assert files_in(tmp_path) == sorted(kept)
    assert scan_cache_dir(tmp_path / "cache").warnings == [], "`hf cache` can list and remove it"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sha": UP}, "as its commit, which is none"),
        ({"sha": None}, "as its commit, which is none"),
        ({"sha": "A" * 40}, "as its commit, which is none"),
        ({"siblings": None}, "listing .* cannot be read"),
        ({"siblings": [{"rfilename": UP}]}, r"is no bundle: it has no manifest\.json"),
        ({"siblings": [{"size": 5}]}, "listing .* cannot be read"),
        ({"siblings": [{"rfilename": MANIFEST, "size": "many"}]}, "listing .* cannot be read"),
    ],
)
def test_a_listing_is_not_believed(
    hub: Hub, faces: Repository, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    tree = {"sha": faces.refs["main"], "siblings": []} | fields
    hub.lie = lambda handler, path: answer(handler, json.dumps(tree).encode()) is None
    with pytest.raises(BundleError, match=message) as refused:
        pull_bundle(FACES)
    assert "\n" not in str(refused.value)
    assert files_in(tmp_path) == []


def test_another_commit_than_the_one_asked_for_is_refused(hub: Hub, faces: Repository) -> None:
    asked = "0" * 40
    faces.refs[asked] = faces.refs["main"]
    with pytest.raises(BundleError, match=f"where {asked} was asked for"):
        load_bundle(f"lab/faces@{asked}", allow_download=True)


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(2000):  # 128 MB, of which a few blocks may be taken
        handler.wfile.write(bytes(1 << 16))


def short(handler: Handler) -> None:
    answer(handler, b"{}")


def announced(handler: Handler) -> None:
    answer(handler, b"", Content_Length=str(1 << 40))


def packed(handler: Handler) -> None:
    answer(handler, b"\x1f\x8b", Content_Encoding="gzip")


SIZES = {
    "endless": (endless, "sent more than the .* bytes allowed"),
    "short": (short, r"ended after 2 of the [\d,]+ bytes listed"),
    "announced": (announced, "the server has 1,099,511,627,776 bytes"),
    "packed": (packed, "sent 'gzip' though it was asked not to pack"),
}


@pytest.mark.parametrize("lie", SIZES)
@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_listed_size_is_enforced_while_bytes_arrive(
    hub: Hub, faces: Repository, tmp_path: Path, lie: str, name: str
) -> None:
    send, message = SIZES[lie]

    def answer_one(handler: Handler, path: str) -> bool:
        if path.endswith(f"/{name}"):
            with suppress(OSError):  # the client has gone
                send(handler)
        return path.endswith(f"/{name}")

    hub.lie = answer_one
    with pytest.raises(BundleError, match=message):
        pull_bundle(FACES)
    assert files_in(tmp_path) == []


def test_an_endless_listing_is_cut(hub: Hub, faces: Repository, tmp_path: Path) -> None:
    def lie(handler: Handler, path: str) -> bool:
        with suppress(OSError):
            endless(handler)
        return True

    hub.lie = lie
    with pytest.raises(BundleError, match="sent more than the 4,194,304 bytes allowed"):
        pull_bundle(FACES)


@pytest.mark.parametrize("step", ["listing", "header", "content", "redirection", "refusal"])
def test_a_dripping_server_times_out(
    hub: Hub, faces: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(downloads, "WINDOW", 0.5)

    def lie(handler: Handler, path: str) -> bool:
        if step != "listing" and not path.endswith(WEIGHTS):
            return False
        starts = {
            "header": b"HTTP/1.1 200 OK\r\nX-Slow: ",
            "redirection": b"HTTP/1.1 302 Found\r\nLocation: /",
            "refusal": b"HTTP/1.1 500 Oh\r\n\r\n",
        }
        with suppress(OSError):
            handler.wfile.write(starts.get(step, b"HTTP/1.1 200 OK\r\n\r\n"))
            for _ in range(300):
                time.sleep(0.1)
                handler.wfile.write(b"a")
        return True

    hub.lie = lie
    begin = time.monotonic()
    with pytest.raises(BundleError, match=r"could not serve lab/faces: .*too slow"):
        pull_bundle(FACES)
    assert time.monotonic() - begin < 20
    assert files_in(tmp_path) == []


def test_an_error_of_a_server_cannot_command_the_terminal(hub: Hub, faces: Repository) -> None:
    hub.lie = lambda handler, path: (
        answer(handler, b'{"error": "\\u001b[2J' + b"x" * 9000 + b'"}', 500) is None
    )
    run = subprocess.run(
        [sys.executable, "-m", "fsb_perception.cli", "bundle", "pull", "lab/faces"],
        env={"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 2, run.stderr
    assert "\x1b[2J" not in run.stderr
    assert len(run.stderr) < 1500
    assert run.stderr.count("\n") == 1


def test_the_weights_of_a_tower_come_by_the_same_rules(
    hub: Hub, faces: Repository, files: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="is not on this machine"):
        hub_file("lab/faces", WEIGHTS)
    hub.claimed[WEIGHTS] = len(files[WEIGHTS]) - 1
    with pytest.raises(WeightsError, match=r"could not be downloaded: .*bytes"):
        hub_file("lab/faces", WEIGHTS, allow_download=True)
    assert files_in(tmp_path) == []
    hub.claimed.clear()
    path = hub_file("lab/faces", WEIGHTS, allow_download=True)
    assert path.read_bytes() == files[WEIGHTS]
    asked = len(hub.asked)
    assert hub_file("lab/faces", WEIGHTS) == path
    assert len(hub.asked) == asked


def test_a_pull_may_be_pinned(hub: Hub, faces: Repository, folder: Path) -> None:
    digest = f"sha256:{load_bundle(folder).digest}"
    with pytest.raises(BundleError, match=f"has the digest {digest}, expected is"):
        pull_bundle(FACES, "sha256:" + 64 * "0")
    assert not hub.asked_for(WEIGHTS)
    assert f"sha256:{pull_bundle(FACES, digest).digest}" == digest


CODES = ("\x1b[2J", "\x9b31m", "\x07", "\r", "\u202e", "\x7f", "\ue000")


def test_what_a_terminal_would_obey_is_shown_as_an_escape(tmp_path: Path) -> None:
    harm = f"x{'y'.join(CODES)}z"
    bundle = random_bundle(
        tmp_path,
        **dict.fromkeys(("limits", "intended_use", "licence"), harm),
        training_data=[{"name": harm, "count": 1, "licence": harm}],
        metrics={harm: {harm: {harm: 0.5}}},
        recipe={harm: harm},
    )
    shown = [
        CliRunner().invoke(app, ["show", str(tmp_path), *arguments]).output
        for arguments in ([], ["--json"])
    ]
    for text in (*shown, model_card(bundle, FACES), visible(harm)):
        assert "31m" in text
        assert not [code for code in CODES if code in text]
