"""The parts of a recipe: data, augmentation, optimiser, loss and weights."""

from __future__ import annotations

from math import inf

from pydantic import field_validator

from fsb_perception.options import Options, option
from fsb_perception.tasks import task
from fsb_training.filters import FilterOptions


class DataOptions(Options):
    """What is learned from."""

    root: str = option("", "the data root: each data set has its published folder in it")
    cache: str = option("runs/cache", "where decoded pictures and found faces are kept")
    shares: dict[str, float] = option({}, "share of each data set in a batch, by name")
    dev_share: float = option(0.06, "share held out for validation", ge=0.01, le=0.5)
    split_seed: int = option(0, "another number draws another validation split", ge=0)
    filters: FilterOptions = FilterOptions()
    share_of: str = option(
        "batch",
        "what a share is of: the batch, or the data set's faces, so that 1.0 each draws all alike",
        choices=("batch", "faces"),
    )
    views: int = option(
        0,
        "fixed variants of each picture, one of which every visit draws, so that what does not "
        "learn is computed once; 0 changes pictures anew at every visit",
        ge=0,
        le=1000,
    )
    view_seed: int = option(0, "another number makes other views", ge=0)
    view_precision: str = option(
        "fp16", "of what is computed once, on disk", choices=("fp16", "fp32")
    )
    balance: float = option(
        0.5,
        "within a data set, 0 draws the classes of balanced_tasks as they come, 1 equally often",
        ge=0,
        le=1,
    )
    balanced_tasks: tuple[str, ...] = option(
        ("emotion",), "whose classes are balanced; of a face with several, their mean counts"
    )
    duplicate: dict[str, float] = option(
        {},
        "least share of faces with a label of a task, by task: they are repeated until they make "
        "it up, whichever data sets they are in, and at the cost of all shares alike",
    )

    @field_validator("shares")
    @classmethod
    def _check_shares(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if not 0 <= share < inf:
                raise ValueError(f"got {share} for {name}, must be a number from 0 on")
        if shares and not any(shares.values()):
            raise ValueError(f"got {shares}: of nothing there is nothing to learn")
        return shares

    @field_validator("balanced_tasks")
    @classmethod
    def _check_balanced(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        for name in tasks:
            task(name)
        return tasks

    @field_validator("duplicate")
    @classmethod
    def _check_duplicate(cls, fractions: dict[str, float]) -> dict[str, float]:
        for name, fraction in fractions.items():
            task(name)
            if not 0 < fraction < 1:
                raise ValueError(f"got {fraction} for {name}, must be above 0 and below 1")
        if sum(fractions.values()) >= 1:
            raise ValueError(f"got {fractions}, which leave nothing for other faces: sum below 1")
        return fractions


class AugmentOptions(Options):
    """How pictures are changed, at every visit or in every view."""

    rotation: float = option(10.0, "rotated by up to this either way", unit="deg", ge=0, le=90)
    scale: float = option(0.12, "scaled by up to this share either way", ge=0, le=0.9)
    shift: float = option(0.06, "moved by up to this share of the side", ge=0, le=0.5)
    light: float = option(0.3, "contrast and brightness change by up to this share", ge=0, le=0.9)
    grey: float = option(0.25, "this share loses its colour", ge=0, le=1)
    blur: float = option(0.3, "this share loses resolution", ge=0, le=1)
    erase: float = option(0.3, "in this share a rectangle is hidden", ge=0, le=1)
    mixup: float = option(
        0.0, "alpha of mixup: faces with labels of the same tasks are mixed; 0 mixes none", ge=0
    )


class OptimiserOptions(Options):
    """AdamW with a warm-up; schedules count pictures, not seconds."""

    images: int = option(600_000, "pictures seen in all", ge=1)
    batch_size: int = option(128, "pictures a batch", ge=2, le=65536)
    accumulate: int = option(
        1, "batches a step, one after the other: the memory of one, the gradient of all", ge=1
    )
    learning_rate: float = option(1e-3, "at the end of the warm-up", ge=0)
    schedule: str = option(
        "cosine",
        "of the rate behind the warm-up: to zero, a tenth where dev gets no better, or flat",
        choices=("cosine", "plateau", "constant"),
    )
    plateau_looks: int = option(
        2, "looks at dev without a better score until the rate falls, with plateau", ge=1
    )
    patience: int = option(
        0, "looks at dev without a better score until the run ends with its best; 0 never", ge=0
    )
    weight_decay: float = option(0.05, "on matrices; never on biases and norms", ge=0)
    warmup_images: int = option(30_000, "pictures of the warm-up", ge=0)
    precision: str = option(
        "auto",
        "numbers of the model's products; auto takes bf16 where the hardware is made for it",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    gradient_checkpointing: bool = option(
        False, "forget activations inside blocks and compute them again: less memory, more time"
    )
    clip_norm: float = option(1.0, "largest norm of the gradient", ge=0.001)
    ema_decay: float = option(0.999, "of the averaged weights that are shipped", ge=0, le=0.99999)
    heads_ratio: float = option(1.0, "the heads' rate, as a multiple of learning_rate", ge=0)
    loraplus_ratio: float = option(
        1.0, "LoRA+: the rate of the B matrices, as a multiple of learning_rate", ge=0
    )

    @property
    def step_images(self) -> int:
        """Pictures of a step of the optimiser."""
        return self.batch_size * self.accumulate


class LossOptions(Options):
    """What counts as wrong, and how much."""

    dropout: float = option(0.1, "share of the feature hidden from the heads", ge=0, le=0.9)
    label_smoothing: float = option(0.02, "of hard labels", ge=0, le=0.5)
    age_neighbours: float = option(
        0.1, "share of an age label given to its neighbours", ge=0, le=0.9
    )
    stem: float = option(0.0, "weight of the throw-away heads on the mean stem feature", ge=0)
    label_sigma: float = option(
        0.0,
        "ordered labels are spread like a Gaussian of this deviation, in the task's unit (years), "
        "or in classes where it has none; above 0 it takes the place of age_neighbours",
        ge=0,
    )
    by_task: dict[str, str] = option(
        {}, "cross-entropy (if not said), logit-adjusted, coral or emd, by task; see docs/losses.md"
    )
    tau: float = option(
        1.0, "of logit-adjusted: strength of the adjustment; 1 is balanced softmax", ge=0, le=4
    )
    emd_weight: float = option(
        1.0, "of emd: the squared earth mover's distance beside cross-entropy", ge=0
    )
    weighting: str = option(
        "equal",
        "how the tasks' losses add up: all alike, or by weights that follow the training",
        choices=("equal", "uncertainty", "uw-so", "famo"),
    )
    uw_so_temperature: float = option(
        1.0, "of uw-so: the higher, the more equal the weights", ge=0.01
    )
    famo_rate: float = option(0.025, "of famo: how fast the weights follow", ge=0)
    famo_decay: float = option(0.001, "of famo: pulls the weights together", ge=0)


class WeightOptions(Options):
    """Where the pretrained weights come from."""

    tower: str = option(
        "", "of the image tower: a file, or random; if empty, the model hub's copy of the backbone"
    )
    text: str = option("", "of the text tower, where the method needs one: as for the image tower")
    tokenizer: str = option("", "folder of the text tower's tokenizer, where it has none built in")
    bundle: str = option(
        "", "begin with the tower and the heads of a bundle, by name or folder, in place of tower"
    )
    allow_download: bool = option(False, "fetch from the model hub what is not here yet")
