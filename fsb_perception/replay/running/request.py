"""The request of a replay: its settings, checked together when the request is made."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import OptionError
from fsb_perception.replay.answering import Answering
from fsb_perception.replay.modes import MODES
from fsb_perception.replay.running.pace import parse_rate
from fsb_perception.replay.scoring.criteria import Criterion
from fsb_perception.replay.truth.statements import Statement


@dataclass(frozen=True)
class ReplayRequest:
    """Settings of a replay; making a request that cannot be done raises an error.

    >>> ReplayRequest(PerceptionConfig(), rate="2")
    Traceback (most recent call last):
    ...
    fsb_perception.options.OptionError: --rate: got --mode offline, which has no rate; leave it out

    Attributes:
        config: options of the pipeline, or parameters of the node.
        topics: topics of images; empty for all.
        truth: statements about the people; empty to judge nothing.
        criteria: limits for numbers of the summary.
        mcap: also write a bag with the answers over the images.
        mode: name in `MODES`.
        rate: of realtime: a multiple of the recorded speed, or "search"; 1 if empty.
        jobs: number of processes that share the recordings.
        cluster: address of a Dask scheduler whose workers share the recordings; empty for none.

    Raises:
        OptionError: values that exclude each other, or a rate that cannot be played.
        UnknownNameError: no such mode, or a criterion on a number that no replay measures.
    """

    config: PerceptionConfig
    topics: tuple[str, ...] = ()
    truth: Sequence[Statement] = ()
    criteria: Sequence[Criterion] = ()
    mcap: bool = False
    mode: str = "offline"
    rate: str = ""
    jobs: int = 1
    cluster: str = ""

    def __post_init__(self) -> None:
        self._check_criteria()
        mode = MODES[self.mode]
        if self.rate and not mode.has_rate:
            raise OptionError(f"--rate: got --mode {self.mode}, which has no rate; leave it out")
        parse_rate(self.rate or "1")
        if self.jobs < 1:
            raise OptionError(f"--jobs: got {self.jobs}, must be at least 1")
        if self.jobs > 1 and mode.has_rate:
            raise OptionError(
                f"--jobs: got {self.jobs}, but recordings that are played at once would slow each "
                "other down; leave it out"
            )
        if self.cluster and not mode.on_cluster:
            raise OptionError(
                f"--cluster: got --mode {self.mode}, which runs on one machine; leave one of them "
                "out"
            )

    def _check_criteria(self) -> None:
        for criterion in self.criteria:
            criterion.check()
            if criterion.needs_truth and not self.truth:
                raise OptionError(
                    f"criterion {criterion}: it compares answers with the truth, and there is "
                    "none; give --truth too"
                )

    def answering(self) -> Answering:
        """Build what answers the images; see `fsb_perception.replay.modes.Mode.build`."""
        return MODES[self.mode].build(self.config, self.rate)

    def as_text(self) -> str:
        """Return the request as JSON for other processes.

        Pickle cannot be used: it does not find classes of options that are made at run time.
        """
        return _adapter().dump_json(self, exclude_defaults=True).decode()

    @classmethod
    def from_text(cls, text: str) -> ReplayRequest:
        """Return the request that `as_text` wrote."""
        return _adapter().validate_json(text)


@functools.cache
def _adapter() -> TypeAdapter[ReplayRequest]:
    return TypeAdapter(ReplayRequest)
