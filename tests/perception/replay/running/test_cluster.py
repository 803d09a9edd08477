"""``fsb replay run --cluster``: a real scheduler, two workers, and what may befall them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from fsb_perception.cli import app
from fsb_perception.config import PerceptionConfig
from fsb_perception.options import OptionError, build
from fsb_perception.replay.outputs import code_hash
from fsb_perception.replay.running import cluster
from fsb_perception.replay.running.request import ReplayRequest
from fsb_perception.replay.sample.bag import make_sample
from fsb_perception.replay.scoring.criteria import Criterion
from fsb_perception.replay.truth.files import read_truth
from tests.perception.replay import made_bags
from tests.perception.replay.made_bags import stamps

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed: pip install -r requirements/cluster.txt",
)
pytestmark = pytest.mark.timeout(240)
LIMIT = 60.0  # s


class Cluster(NamedTuple):
    address: str
    folder: Path


def dask(what: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    module = f"distributed.cli.dask_{what}"
    file = ("--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard")
    with (folder / f"{what}.log").open("ab") as log:
        command = [sys.executable, "-m", module, *file, *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log)


def wait_for(condition: Any) -> Any:
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)
    return value


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Cluster]:
    """Start a scheduler and two workers on loopback; no nanny restarts a killed worker."""
    processes = [dask("scheduler", tmp_path, "--host", "127.0.0.1", "--port", "0")]
    file = tmp_path / "scheduler.json"
    wait_for(file.is_file)
    for number in (1, 2):
        local = ("--local-directory", str(tmp_path / f"worker{number}"))
        processes.append(dask("worker", tmp_path, "--no-nanny", "--nthreads", "1", *local))
    try:
        yield Cluster(json.loads(file.read_text())["address"], tmp_path)
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    make_sample(folder, seconds=0.7)
    return folder


def run(bags: Sequence[Path], out: Path, *arguments: object) -> tuple[int, str]:
    command = ["replay", "run", *map(str, bags), "--out", str(out), *map(str, arguments)]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.output


@needs_dask
@pytest.mark.long
def test_workers_give_the_bytes_of_one_process_and_go_on_after_a_stop(
    two: Cluster, sample: Path, tmp_path: Path
) -> None:
    other = made_bags.write(tmp_path / "other", {"/front/image": stamps(5)})
    bags = [sample / "bag", tmp_path / "absent", other]
    truth = ("--truth", sample / "truth.jsonl", "--topic", "/front/image")
    here, there = tmp_path / "here", tmp_path / "there"
    (tmp_path / "c.yaml").write_text("- timing.process.p50_ms < 0\n")
    demands = ("--criteria", tmp_path / "c.yaml", "--truth", sample / "truth.jsonl")
    assert run(bags, here)[0] == 1
    status, output = run(bags, there, *demands, "--cluster", two.address)
    assert status == 1
    assert "there is no such bag" in output
    assert output.count("Not met: timing.process.p50_ms < 0") == 2
    assert "IDF1 1.000" in output
    for name in ("bag", "other"):
        one, same = ((out / name / "results.jsonl").read_bytes() for out in (here, there))
        assert one == same
    _, again = run(bags, there, "--cluster", two.address)
    assert again.count("the answers are kept") == 2
    _, local = run(bags, there)
    assert local.count("the answers are kept") == 2  # it does not matter who gave them
    # Topics that one of them lacks fail that one alone.
    _, some = run(bags, tmp_path / "some", *truth, "--cluster", two.address)
    assert "unknown topic of images '/front/image'" in some
    assert (tmp_path / "some/other/summary.json").is_file()


@needs_dask
@pytest.mark.long
def test_what_a_killed_worker_did_is_done_by_another(
    two: Cluster, sample: Path, tmp_path: Path
) -> None:
    from distributed import Client

    bags = [Path(shutil.copytree(sample / "bag", tmp_path / f"bag{n}")) for n in range(3)]
    done: list[tuple[int, str]] = []
    work = threading.Thread(
        target=lambda: done.append(run(bags, tmp_path / "o", "--cluster", two.address))
    )
    with Client(two.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=LIMIT)
        pids = client.run(os.getpid)
        work.start()
        wait_for(lambda: done or list(tmp_path.glob("o/*/results.jsonl")))
        assert not done, list(map(str, done))
        busy = wait_for(lambda: [worker for worker, keys in client.processing().items() if keys])
        os.kill(pids[busy[0]], signal.SIGKILL)
        work.join(LIMIT)
    ((status, output),) = done
    assert not status, output
    results = [(tmp_path / "o" / bag.name / "results.jsonl").read_bytes() for bag in bags]
    assert len(set(results)) == 1
    assert results[0].count(b"\n") == 42


@needs_dask
def test_an_address_where_nobody_is_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_LIMIT", "0.5s")
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(1)})
    for address in ("tcp://127.0.0.1:9", "carrier-pigeon://coop"):
        request = ReplayRequest(PerceptionConfig(), cluster=address)
        with pytest.raises(OptionError, match="no scheduler answers there"):
            list(cluster.replay_on_cluster(request, [bag], [tmp_path]))


def test_what_a_worker_cannot_do_is_its_answer(tmp_path: Path) -> None:
    request = ReplayRequest(PerceptionConfig()).as_text()
    code, folder = code_hash(), str(tmp_path / "o")
    unseen = cluster._work(request, code, "/nowhere/bag", folder)
    assert "does not see it: all machines need the bags at the same paths" in unseen["error"]
    assert "has another FSB" in cluster._work(request, "f00", "/nowhere/bag", folder)["error"]
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(1)})
    absent = ReplayRequest(build(PerceptionConfig, {"bundle": "/nowhere/bundle"})).as_text()
    assert "cannot replay" in cluster._work(absent, code, str(bag), folder)["error"]


def test_a_relative_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    config = build(PerceptionConfig, {"bundle": "mine"})
    request = ReplayRequest(config, cluster="tcp://127.0.0.1:9")
    with pytest.raises(OptionError, match=f"the absolute path {tmp_path}/mine"):
        list(cluster.replay_on_cluster(request, [], []))


def test_only_offline_goes_on_a_cluster(tmp_path: Path) -> None:
    command = ["replay", "run", str(tmp_path), "--cluster", "x:1", "--mode", "lockstep"]
    with pytest.raises(OptionError, match="--mode lockstep"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_request_survives_as_text(sample: Path) -> None:
    request = ReplayRequest(
        config=build(PerceptionConfig, {"tracker.max_coast": 0.5, "tasks": ("gender",)}),
        topics=("/front/image",),
        truth=read_truth(sample / "truth.jsonl"),
        criteria=[Criterion("gender.ece", "<=", 0.1)],
        mcap=True,
    )
    again = ReplayRequest.from_text(request.as_text())
    assert again.config.model_dump() == request.config.model_dump()
    assert again == request
