"""The options of `fsb_perception.fusion`: a group a task, made from the task table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import create_model, model_validator

from fsb_perception.options import Options, option
from fsb_perception.tasks import TASKS


class TaskFusionConfig(Options):
    """How the looks at one task become a label."""

    time_constant: float = option(
        2.0, "looks count less by 1/e for each such time", unit="s", ge=0.05, le=600.0, live=True
    )
    enter: float = option(
        0.6, "probability from which a class becomes the label", ge=0.0, le=1.0, live=True
    )
    exit: float = option(
        0.5, "probability below which the label becomes unknown", ge=0.0, le=1.0, live=True
    )
    settle_time: float = option(
        1.0, "a label held for so long is stable", unit="s", ge=0.0, le=60.0, live=True
    )

    @model_validator(mode="after")
    def _check(self) -> TaskFusionConfig:
        if self.exit > self.enter:
            raise ValueError(f"exit ({self.exit:g}) must not be above enter ({self.enter:g})")
        return self


# What differs from the defaults above. An age does not change while one talks, an expression does;
# the thresholds follow the number of classes and how sure the shipped bundle can be.
_TASK_DEFAULTS: dict[str, dict[str, float]] = {
    "gender": {"time_constant": 6.0, "enter": 0.7, "exit": 0.6},
    "age_group": {"time_constant": 8.0, "enter": 0.4, "exit": 0.3, "settle_time": 1.5},
    "emotion": {"time_constant": 0.6, "enter": 0.5, "exit": 0.38, "settle_time": 0.5},
}


def _task_config(name: str) -> type[TaskFusionConfig]:
    """`TaskFusionConfig` with a task's own defaults: an option tree reads them off its classes."""
    fields: dict[str, Any] = {}
    for field, default in _TASK_DEFAULTS.get(name, {}).items():
        info = TaskFusionConfig.model_fields[field]
        extra = info.json_schema_extra
        assert isinstance(extra, dict)
        fields[field] = (float, option(default, str(info.description), **extra))  # type: ignore[arg-type]
    title = "".join(part.title() for part in name.split("_"))
    return create_model(f"{title}FusionConfig", __base__=TaskFusionConfig, **fields)


class _FusionConfig(Options):
    """How a face's looks are fused over time: a group of options a task, as ``emotion.enter``."""

    min_quality: float = option(
        0.05, "a face of lower quality is not looked at", ge=0.0, le=1.0, live=True
    )
    good_quality: float = option(
        0.3, "looks of this quality and more count fully", ge=0.01, le=1.0, live=True
    )

    def of(self, task: str) -> TaskFusionConfig:
        """The options of a task; the general defaults for one that only a bundle knows."""
        config = getattr(self, task, None)
        return config if isinstance(config, TaskFusionConfig) else TaskFusionConfig()


if TYPE_CHECKING:
    FusionConfig = _FusionConfig
else:  # one field a row of the task table, so that a new task has its options at once
    FusionConfig = create_model(
        "FusionConfig",
        __base__=_FusionConfig,
        __doc__=_FusionConfig.__doc__,
        __module__=__name__,
        **{name: (config := _task_config(name), config()) for name in TASKS},
    )
