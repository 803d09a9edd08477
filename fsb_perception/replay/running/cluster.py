"""Many recordings over many machines, with the results of one process: by Dask.

    this process --order, paths as text--> scheduler --> workers, which read the bags themselves
                 <--what came of each, as JSON values--

No recording goes over the network: scheduler aside, every machine sees the bags and the folder to
write to at the same paths. Dask moves its messages by pickle, so whoever reaches a scheduler can
run code on its workers: ``tcp://`` is for a network that is trusted, ``tls://`` for any other.
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
from typing import Any
from uuid import uuid4

from fsb_perception.bundles.bundle import BundleError
from fsb_perception.detection.base import DetectorError
from fsb_perception.inference.engine import EngineMemoryError
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.outputs import SUMMARY, code_hash
from fsb_perception.replay.running.many import Outcome, attempt, one_thread, order_of, order_text
from fsb_perception.replay.running.offline import Offline
from fsb_perception.replay.running.replayer import Done, Order, Replayer
from fsb_perception.replay.scoring.criteria import Criterion, Judged

Plain = dict[str, Any]

_LOOK_EVERY = 2.0  # s, for workers that have gone
_NO_WORKER_LIMIT = 60.0  # s without any; one that was killed is started anew by its nanny
_CONNECT_LIMIT = "10s"
_UNFIT = (BundleError, DetectorError, EngineMemoryError, OptionError, OSError, UnknownNameError)


def replay_on_cluster(
    order: Order, bags: Sequence[Path], folders: Iterable[Path], address: str
) -> Iterator[Outcome]:
    """Replay recordings on the workers of a Dask cluster; outcomes come as they are ready.

    A worker that dies costs time alone: what it did is done anew by another, up to the scheduler's
    ``allowed-failures``; a recording beyond that fails, and the others go on.

    Args:
        order: what is to be done with each.
        bags: the recordings.
        folders: what each is written to.
        address: of the scheduler, as ``tcp://10.0.0.5:8786``.

    Raises:
        OptionError: Dask is not installed, no scheduler answers there, or workers could not find
            the bundle.
    """
    pairs = list(zip(bags, folders, strict=True))
    _refuse_relative(order.config.bundle)
    client = _client(address)
    try:
        absent = [bag for bag, _ in pairs if not bag.exists()]
        yield from (Outcome(bag, None, f"{bag}: there is no such bag") for bag in absent)
        yield from _outcomes(client, order, [pair for pair in pairs if pair[0] not in absent])
    finally:
        client.close()


def _outcomes(client: Any, order: Order, pairs: Sequence[tuple[Path, Path]]) -> Iterator[Outcome]:
    # A result of a task, not an argument of all: it is sent once, and made anew if it is lost.
    text = client.submit(str, order_text(order), pure=False)
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
    seen = time.monotonic()  # that there were workers
    while waiting:
        ready = _ready(client, list(waiting))
        yield from (_outcome(future, *waiting.pop(future)) for future in ready)
        if client.scheduler_info()["workers"]:
            seen = time.monotonic()
        elif time.monotonic() - seen > _NO_WORKER_LIMIT:
            why = f"no worker is at {client.scheduler.address}: start one with dask worker"
            yield from (Outcome(bag, None, f"{bag}: {why}") for bag, _ in waiting.values())
            return


def _ready(client: Any, futures: Sequence[Any]) -> Sequence[Any]:
    """Futures that are done by now, or after a while."""
    from distributed import wait

    with client.as_current():
        try:
            return list(wait(futures, timeout=_LOOK_EVERY, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return ()


def _outcome(future: Any, bag: Path, folder: Path) -> Outcome:
    try:
        said: Plain = future.result()
    except Exception as error:  # Dask's own: a worker too many has died, or the scheduler has
        return Outcome(bag, None, f"{bag}: {type(error).__name__}: {error}")
    if said["error"]:
        return Outcome(bag, None, said["error"])
    if SUMMARY not in (os.listdir(folder) if folder.is_dir() else ()):
        why = f"{said['host']} has written {folder.absolute()}, which is not to be seen here"
        return Outcome(bag, None, f"{bag}: {why}: --out must lie on the shared file system, too")
    unmet = [
        Judged(Criterion(each["name"], each["sign"], each["value"]), each["found"], each["met"])
        for each in said["unmet"]
    ]
    return Outcome(bag, Done(folder, said["summary"], unmet, said["kept"]))


# A worker's side

_one_at_a_time = threading.Lock()  # an engine is no thing to share, and one thread is asked for


def _work(text: str, code: str, bag: str, folder: str) -> Plain:
    """Replay a recording; all that goes in and comes out are JSON values."""
    host = socket.gethostname()
    if code != code_hash():
        return _failed(f"{bag}: the worker on {host} has another FSB: install the same everywhere")
    if not Path(bag).exists():
        return _failed(
            f"{bag}: the worker on {host} does not see it: all machines need the bags at the same "
            "paths, on a file system that they share"
        )
    with _one_at_a_time:
        one_thread()
        try:
            replayer = _replayer(text)
        except _UNFIT as error:
            return _failed(f"{bag}: the worker on {host} cannot replay: {error}")
        _, done, error_text = attempt(replayer, Path(bag), Path(folder))
    if done is None:
        return _failed(error_text)
    unmet = [judged.as_json() for judged in done.unmet]
    return {
        "error": "",
        "host": host,
        "summary": done.summary,
        "unmet": unmet,
        "kept": done.kept,
    }


def _failed(error: str) -> Plain:
    return {"error": error}


@functools.lru_cache(maxsize=1)
def _replayer(text: str) -> Replayer:
    order = order_of(text)
    return Replayer(order, Offline(order.config))


# This process's side


def _client(address: str) -> Any:
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
            f"bundle {bundle!r}: the workers have working folders of their own, so say "
            f"{Path(bundle).resolve()}"
        )
