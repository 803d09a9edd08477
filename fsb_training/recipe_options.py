"""The parts of a recipe: data, augmentation, optimiser, loss and weights."""

from __future__ import annotations

from math import inf

from pydantic import field_validator

from fsb_perception.options import Options, option
from fsb_perception.tasks import TASKS
from fsb_training.filters import FilterOptions


class DataOptions(Options):
    """The data sets, their shares, filters and views."""

    root: str = option("", "the data root, which holds the published folder of each data set")
    cache: str = option("runs/cache", "folder of decoded pictures and detected faces")
    shares: dict[str, float] = option({}, "share of each data set in a batch, by name")
    dev_share: float = option(0.06, "share of the faces held out for validation", ge=0.01, le=0.5)
    split_seed: int = option(0, "another number draws another validation split", ge=0)
    filters: FilterOptions = FilterOptions()
    share_of: str = option(
        "batch",
        "unit of shares: the batch, or the data set's faces, so that 1.0 each draws all alike",
        choices=("batch", "faces"),
    )
    views: int = option(
        0,
        "number of fixed variants of each picture, of which every visit draws one, so that frozen "
        "layers are computed once; 0 makes a new variant at every visit",
        ge=0,
        le=1000,
    )
    view_seed: int = option(0, "another number makes other views", ge=0)
    view_precision: str = option(
        "fp16",
        "number format of activations that are computed once and stored on disk",
        choices=("fp16", "fp32"),
    )
    balance: float = option(
        0.5,
        "within a data set, 0 draws the classes of balanced_tasks by frequency, 1 equally often",
        ge=0,
        le=1,
    )
    balanced_tasks: tuple[str, ...] = option(
        ("emotion",),
        "tasks whose classes are balanced; a face with several has the mean of their weights",
    )
    duplicate: dict[str, float] = option(
        {},
        "least share of faces with a label of a task, by task: in all data sets they are repeated "
        "until they reach it; all other shares shrink alike",
    )

    @field_validator("shares")
    @classmethod
    def _check_shares(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if not 0 <= share < inf:
                raise ValueError(f"got {share} for {name}, must be a number of 0 or more")
        if shares and not any(shares.values()):
            raise ValueError(
                f"got {shares}, which leaves nothing to learn from: set a share above 0"
            )
        return shares

    @field_validator("balanced_tasks")
    @classmethod
    def _check_balanced(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        TASKS.check(tasks)
        return tasks

    @field_validator("duplicate")
    @classmethod
    def _check_duplicate(cls, fractions: dict[str, float]) -> dict[str, float]:
        TASKS.check(fractions)
        for name, fraction in fractions.items():
            if not 0 < fraction < 1:
                raise ValueError(f"got {fraction} for {name}, must be above 0 and below 1")
        if sum(fractions.values()) >= 1:
            raise ValueError(
                f"got {fractions}, which leave nothing for other faces: make the sum below 1"
            )
        return fractions


class AugmentOptions(Options):
    """Random changes of a picture, at every visit or in every view."""

    rotation: float = option(10.0, "largest rotation in either direction", unit="deg", ge=0, le=90)
    scale: float = option(0.12, "largest change of scale in either direction", ge=0, le=0.9)
    shift: float = option(0.06, "largest shift, as a share of the side", ge=0, le=0.5)
    stretch: float = option(
        0.05, "largest change of width over height in either direction", ge=0, le=0.5
    )
    flip: float = option(
        0.5,
        "share of the pictures that are mirrored; none where a task says left from right",
        ge=0,
        le=1,
    )
    light: float = option(0.3, "largest relative change of contrast and brightness", ge=0, le=0.9)
    tint: float = option(0.08, "largest relative change of each colour channel", ge=0, le=0.9)
    grey: float = option(0.25, "share of the pictures that lose their colour", ge=0, le=1)
    blur: float = option(0.3, "share of the pictures that lose resolution", ge=0, le=1)
    erase: float = option(0.3, "share of the pictures in which a rectangle is hidden", ge=0, le=1)
    mixup: float = option(
        0.0, "alpha of mixup among faces with labels of the same tasks; 0 is off", ge=0
    )


class OptimiserOptions(Options):
    """AdamW with a warm-up; schedules count pictures, not seconds."""

    images: int = option(600_000, "number of pictures that the run sees", ge=1)
    batch_size: int = option(128, "pictures in a batch", ge=2, le=65536)
    accumulate: int = option(
        1, "batches in a step, one after the other: the memory of one, the gradient of all", ge=1
    )
    learning_rate: float = option(1e-3, "rate at the end of the warm-up", ge=0)
    schedule: str = option(
        "cosine",
        "the rate after the warm-up: a cosine to zero, a tenth on each plateau of dev, or constant",
        choices=("cosine", "plateau", "constant"),  # fsb_training.learning.schedules
    )
    plateau_looks: int = option(
        2, "with plateau: looks at dev without a better score until the rate falls", ge=1
    )
    patience: int = option(
        0, "looks at dev without a better score until the run ends with its best; 0 is never", ge=0
    )
    weight_decay: float = option(0.05, "decay of matrices; biases and norms have none", ge=0)
    warmup_images: int = option(30_000, "length of the warm-up in pictures", ge=0)
    precision: str = option(
        "auto",
        "number format of the model's products; auto is bf16 where the hardware supports it well",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    gradient_checkpointing: bool = option(
        False, "recompute activations inside blocks: less memory, more time"
    )
    clip_norm: float = option(1.0, "largest norm of the gradient", ge=0.001)
    ema_decay: float = option(0.999, "decay of the averaged weights, which ship", ge=0, le=0.99999)
    heads_ratio: float = option(1.0, "the heads' rate, as a multiple of learning_rate", ge=0)
    text_ratio: float = option(
        1.0, "the rate of prompts that a text tower reads, as a multiple of learning_rate", ge=0
    )
    loraplus_ratio: float = option(
        1.0, "LoRA+: the rate of the B matrices, as a multiple of learning_rate", ge=0
    )

    @property
    def step_images(self) -> int:
        """Pictures of a step of the optimiser."""
        return self.batch_size * self.accumulate


class LossOptions(Options):
    """The losses of the tasks and their sum."""

    dropout: float = option(0.1, "share of the feature hidden from the heads", ge=0, le=0.9)
    label_smoothing: float = option(0.02, "label smoothing of hard labels", ge=0, le=0.5)
    age_neighbours: float = option(
        0.1, "share of an age label given to its neighbours", ge=0, le=0.9
    )
    stem: float = option(0.0, "weight of the throw-away heads on the mean stem feature", ge=0)
    label_sigma: float = option(
        0.0,
        "standard deviation of a Gaussian that spreads ordered labels, in the task's unit (years) "
        "or in classes; above 0 it replaces age_neighbours",
        ge=0,
    )
    by_task: dict[str, str] = option(
        {},
        "loss by task: cross-entropy (default), logit-adjusted, coral, emd or emd-ground; see "
        "docs/losses.md",
    )
    tau: float = option(
        1.0, "with logit-adjusted: strength of the adjustment; 1 is balanced softmax", ge=0, le=4
    )
    emd_weight: float = option(
        1.0, "with emd: weight of the squared earth mover's distance beside cross-entropy", ge=0
    )
    emd_ground_weight: float = option(
        30.0, "with emd-ground: weight of the squared probabilities by their distance", ge=0
    )
    emd_ground_offset: float = option(
        0.0025, "with emd-ground: squared distance up to which a class is rewarded", ge=0, le=1
    )
    weighting: str = option(
        "equal",
        "weights of the tasks' losses: all equal, or weights that follow the training",
        choices=("equal", "uncertainty", "uw-so", "famo"),  # fsb_training.losses.weighting
    )
    weights_rate: float = option(
        2e-3,
        "with uncertainty: the constant rate of the learned weights; no schedule lowers it",
        ge=0,
    )
    uw_so_temperature: float = option(
        20.0, "with uw-so: a higher temperature makes the weights more equal", ge=0.01
    )
    famo_rate: float = option(0.025, "with famo: rate at which the weights follow", ge=0)
    famo_decay: float = option(0.001, "with famo: decay that pulls the weights together", ge=0)


class WeightOptions(Options):
    """The sources of the pretrained weights."""

    tower: str = option(
        "", "weights of the image tower: a file, or random; empty is the model hub's copy"
    )
    text: str = option(
        "", "weights of the text tower, if the method needs one; as for the image tower"
    )
    tokenizer: str = option("", "folder of the text tower's tokenizer, if none is built in")
    bundle: str = option(
        "",
        "bundle, by name or folder, whose tower and heads training begins with, instead of tower",
    )
    prompts: str = option(
        "",
        "folder of a run of the same tasks whose learned text prompts training begins with",
    )
    allow_download: bool = option(False, "download missing files from the model hub")
