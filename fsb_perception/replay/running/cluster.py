"""Many recordings over many machines, with the results of one process, by Dask.

    this process --request and paths as text--> scheduler --> workers, which read the bags
                 <------ outcomes as JSON values ------

Recordings do not go over the network: every machine except the scheduler's sees the bags and the
output folder at the same paths. Dask moves its messages by pickle, so everybody who can reach a
scheduler can run code on its workers: use ``tcp://`` in a network that you trust, else ``tls://``.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from uuid import uuid4

from pydantic import JsonValue

from fsb_perception.errors import FsbError, error_line
from fsb_perception.options import OptionError
from fsb_perception.replay.outputs import SUMMARY, code_hash
from fsb_perception.replay.running.many import Outcome, attempt, use_one_thread
from fsb_perception.replay.running.replayer import Replayer, ReplayResult
from fsb_perception.replay.running.request import ReplayRequest
from fsb_perception.replay.summary import Summary

if TYPE_CHECKING:
    from distributed import Client, Future

_CHECK_PERIOD = 2.0  # s between two looks for workers
_NO_WORKER_LIMIT = 60.0  # s without a worker; a killed one is started again by its nanny
_CONNECT_LIMIT = "10s"


def replay_on_cluster(
    request: ReplayRequest, bags: Sequence[Path], folders: Iterable[Path]
) -> Iterator[Outcome]:
    """Replay recordings on the workers of a Dask cluster, and yield outcomes as they are ready.

    A worker that dies costs only time: another worker repeats its recording, up to the scheduler's
    ``allowed-failures``. A recording beyond that fails, and the others go on.

    Args:
        request: what to do with each recording, with the scheduler's address in ``cluster``.
        bags: paths of the recordings.
        folders: folder to write for each recording.

    Raises:
        OptionError: Dask is not installed, no scheduler answers at the address, or workers could
            not find the bundle.
    """
    pairs = list(zip(bags, folders, strict=True))
    _refuse_relative(request.config.bundle)
    client = _connect(request.cluster)
    try:
        absent = [bag for bag, _ in pairs if not bag.exists()]
        yield from (Outcome(bag, None, f"{bag}: there is no such bag") for bag in absent)
        yield from _outcomes(client, request, [pair for pair in pairs if pair[0] not in absent])
    finally:
        client.close()


def _outcomes(
    client: Client, request: ReplayRequest, pairs: Sequence[tuple[Path, Path]]
) -> Iterator[Outcome]:
    # As a task's result instead of an argument of all tasks, the text is sent to a worker once, and
    # computed again if it is lost.
    text = client.submit(str, request.as_text(), pure=False)
    run = uuid4().hex[:8]
    waiting = {
        client.submit(
            _work,
            text,
            code_hash(),
            *(str(path.absolute()) for path in pair),
            key=f"fsb-replay-{run}-{number}",
            pure=False,
        ): pair
        for number, pair in enumerate(pairs)
    }
    last_worker = time.monotonic()  # when there was one
    while waiting:
        ready = _wait(client, list(waiting))
        yield from (_outcome(future, *waiting.pop(future)) for future in ready)
        if client.scheduler_info()["workers"]:
            last_worker = time.monotonic()
        elif time.monotonic() - last_worker > _NO_WORKER_LIMIT:
            reason = f"no worker is at {request.cluster}: start one with dask worker"
            yield from (Outcome(bag, None, f"{bag}: {reason}") for bag, _ in waiting.values())
            return


def _wait(client: Client, futures: Sequence[Future[_Answer]]) -> Sequence[Future[_Answer]]:
    """Return the futures that are done within `_CHECK_PERIOD`."""
    from distributed import wait

    with client.as_current():
        try:
            return list(wait(futures, timeout=_CHECK_PERIOD, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return ()


def _outcome(future: Future[_Answer], bag: Path, folder: Path) -> Outcome:
    try:
        answer: _Answer = future.result()
    except Exception as error:  # Dask's own: too many workers died, or the scheduler did
        return Outcome(bag, None, f"{bag}: {type(error).__name__}: {error}")
    if answer["error"]:
        return Outcome(bag, None, answer["error"])
    if SUMMARY not in (os.listdir(folder) if folder.is_dir() else ()):
        return Outcome(
            bag,
            None,
            f"{bag}: {answer['host']} has written {folder.absolute()}, which this machine does not "
            "see: --out must be on the shared file system, too",
        )
    summary = Summary.model_validate(answer["summary"])
    return Outcome(bag, ReplayResult(folder, summary, answer["kept"]))


def _connect(address: str) -> Client:
    if importlib.util.find_spec("distributed") is None:
        raise OptionError(
            "--cluster needs distributed, which this environment lacks: "
            "pip install -r requirements/cluster.txt"
        )
    from distributed import Client

    try:
        return Client(address, timeout=_CONNECT_LIMIT, set_as_default=False)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise OptionError(
            f"--cluster {address}: no scheduler answers there ({error}); start one with "
            "dask scheduler, and give the address that it prints"
        ) from None


def _refuse_relative(bundle: str) -> None:
    if Path(bundle).is_dir() and not Path(bundle).is_absolute():
        raise OptionError(
            f"bundle {bundle!r}: the workers run in other folders; give the absolute path "
            f"{Path(bundle).resolve()}"
        )


# The worker's side


class _Answer(TypedDict):
    """A worker's answer, of JSON values only; ``error`` is empty if the recording was replayed."""

    error: str
    host: str
    summary: dict[str, JsonValue]
    kept: bool


_one_at_a_time = threading.Lock()  # an engine must not be shared, and one thread is promised


def _work(text: str, code: str, bag: str, folder: str) -> _Answer:
    """Replay a recording.

    Args:
        text: the request as text.
        code: sha256 of the code of the process that asks.
        bag: path of the recording.
        folder: folder to write.
    """
    host = socket.gethostname()
    answer: _Answer = {"error": "", "host": host, "summary": {}, "kept": False}
    if code != code_hash():
        reason = f"the worker on {host} has another FSB: install the same everywhere"
        return {**answer, "error": f"{bag}: {reason}"}
    if not Path(bag).exists():
        reason = (
            f"the worker on {host} does not see it: all machines need the bags at the same paths, "
            "on a file system that they share"
        )
        return {**answer, "error": f"{bag}: {reason}"}
    with _one_at_a_time:
        use_one_thread()
        try:
            replayer = _replayer(text)
        except (FsbError, OSError) as error:
            reason = f"the worker on {host} cannot replay: {error_line(error)}"
            return {**answer, "error": f"{bag}: {reason}"}
        outcome = attempt(replayer, Path(bag), Path(folder))
    if outcome.result is None:
        return {**answer, "error": outcome.error}
    result = outcome.result
    return {**answer, "summary": result.summary.as_json(), "kept": result.kept}


@functools.lru_cache(maxsize=1)
def _replayer(text: str) -> Replayer:
    request = ReplayRequest.from_text(text)
    return Replayer(request, request.answering())
