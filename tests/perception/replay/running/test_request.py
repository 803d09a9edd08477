from __future__ import annotations

from typing import Any

import pytest

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.running.request import ReplayRequest
from fsb_perception.replay.scoring.criteria import Criterion


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"mode": "ofline"}, UnknownNameError, "unknown mode 'ofline'. Did you mean 'offline'"),
        ({"rate": "2"}, OptionError, "--rate: got --mode offline"),
        ({"mode": "realtime", "rate": "fast"}, OptionError, "got 'fast', must be a number from"),
        ({"mode": "realtime", "rate": "1000"}, OptionError, "got '1000', must be a number from"),
        ({"jobs": 0}, OptionError, "--jobs: got 0"),
        ({"mode": "realtime", "jobs": 2}, OptionError, "slow each other down"),
        ({"mode": "lockstep", "cluster": "tcp://x:1"}, OptionError, "got --mode lockstep"),
        ({"criteria": [Criterion("gender.ece", "<", 0.1)]}, OptionError, "give --truth too"),
        (
            {"criteria": [Criterion("play.drop_rat", "<", 0.1)]},
            UnknownNameError,
            "unknown metric 'drop_rat'. Did you mean 'drop_rate'",
        ),
    ],
)
def test_a_request_that_cannot_be_done_is_refused(
    values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ReplayRequest(PerceptionConfig(), **values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"mode": "realtime", "rate": "search"},
        {"mode": "lockstep", "jobs": 2},
        {"cluster": "tcp://x:1"},
        {"criteria": [Criterion("load.memory_mib_a_minute_low", "<=", 1.0)]},
    ],
)
def test_a_request_that_can_be_done_is_made(values: dict[str, Any]) -> None:
    request = ReplayRequest(PerceptionConfig(), **values)
    assert ReplayRequest.from_text(request.as_text()) == request
