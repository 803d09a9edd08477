"""The work of two processes for test_distributed.py; torchrun starts this with a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from fsb_perception.adapters import adapter_config
from fsb_perception.tasks import TASKS
from fsb_training.learning.distributed import World, joined, wrapped
from fsb_training.learning.learner import Learner
from fsb_training.learning.state import State, start
from fsb_training.recipe import Recipe
from tests.training.systems import faces, labels, learner, optimiser_of, recipe

BACKBONE = "PE-Core-micro"
FACES = 8  # of both processes; rank 0 has the even ones
Tensors = dict[str, torch.Tensor]

ADAPTERS: Mapping[str, Mapping[str, object]] = {
    "LoRA": {"method": "lora", "rank": 4},
    "MTLoRA matrix": {"method": "mtlora", "mode": "matrix", "rank": 4, "blocks": 1},
    "MTLoRA exact": {"method": "mtlora", "mode": "exact", "rank": 4, "blocks": 1},
    "VPT task-specific": {"method": "vpt", "per_task": True, "prompts": 3},
}
WEIGHTINGS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(ADAPTERS, ("equal", "uncertainty")),
    # An adapter makes no difference to the others.
    "LoRA": ("equal", "uncertainty", "uw-so", "famo"),
}
# By name, the faces that have no label of a task. Both processes have labels of another number.
MISSING: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "no emotion on rank 1": {"emotion": (1, 3, 5, 7), "gender": (0, 2, 5)},
    "nothing at all on rank 1": dict.fromkeys(TASKS, (1, 3, 5, 7)),
}


def chosen(adapter: str, weighting: str = "uncertainty", head: str = "linear") -> Recipe:
    loss = {"dropout": 0.0, "label_smoothing": 0.0, "weighting": weighting}
    settings = adapter_config(dict(ADAPTERS[adapter]))
    return recipe("LoRA", BACKBONE, Path(), adapter=settings, head=head, loss=loss)


def begun(settings: Recipe) -> Learner:
    """Return a learner after a first step, in which half of a low-rank pair has no gradient."""
    model = learner(settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def batch(missing: Mapping[str, tuple[int, ...]], seed: int = 0) -> tuple[torch.Tensor, Tensors]:
    """Return all faces of a step, and their labels without the ``missing`` ones."""
    targets = labels(tuple(TASKS), FACES)
    for task, rows in missing.items():
        targets[task][list(rows)] = 0
    return faces(BACKBONE, FACES, seed), targets


def cases() -> Iterator[tuple[str, str, str]]:
    for adapter in ADAPTERS:
        for weighting in WEIGHTINGS[adapter]:
            for missing in MISSING:
                yield adapter, weighting, missing


def gradients(model: Learner) -> dict[str, torch.Tensor | None]:
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def learn(model: nn.Module, part: slice, pixels: torch.Tensor, targets: Tensors) -> None:
    model(pixels[part], {task: rows[part] for task, rows in targets.items()}).backward()


def one_backward(world: World) -> dict[str, object]:
    """Return the gradients of every case."""
    result: dict[str, object] = {}
    for adapter, weighting, missing in cases():
        model = begun(chosen(adapter, weighting))
        learn(wrapped(model.train(), world.fabric), world.part, *batch(MISSING[missing]))
        result[f"{adapter}, {weighting}, {missing}"] = gradients(model)
    return result


def without_emotion(world: World) -> dict[str, object]:
    """Take two steps with emotion and two without; return the state before and after the latter."""
    result: dict[str, object] = {}
    for adapter in ADAPTERS:
        settings = chosen(adapter, head="mlp")
        model = begun(settings)
        together = wrapped(model.train(), world.fabric)
        optimiser = optimiser_of(model, settings)
        for step in range(4):
            if step == 2:
                before = {name: rows.clone() for name, rows in model.state_dict().items()}
            optimiser.zero_grad(set_to_none=True)
            nobody = {"emotion": tuple(range(FACES))} if step >= 2 else {}
            learn(together, world.part, *batch(nobody, seed=step))
            optimiser.step()
        result[adapter] = {
            "before": before,
            "after": model.state_dict(),
            "gradients": gradients(model),
        }
    return result


def statistics(state: State) -> dict[str, Tensors]:
    parts = {"learner": state.learner, "average": state.average.module}
    return {
        name: {key: b.clone() for key, b in part.named_buffers() if "running" in key}
        for name, part in parts.items()
    }


def batch_norms(world: World) -> dict[str, object]:
    """Running statistics before and after they are averaged.

    Rank 0 sees gender in all of three steps and emotion in none; rank 1 gender in one alone.
    """
    state = start(chosen("LoRA", head="mlp"), world=world)
    state.join(world)
    state.learner.train()
    emotion, gender = (0, 2, 4, 6), (1, 3, 5, 7)
    for step in range(3):
        missing = {"emotion": emotion, "gender": gender if step else ()}
        learn(state.model, world.part, *batch(missing, seed=step))
        state.average.update(state.learner, step=step + 1)
    before = statistics(state)
    state.settle()
    first = statistics(state)
    state.settle()  # no process has seen a batch since
    return {"before": before, "after": first, "again": statistics(state)}


def looking_back(part: slice) -> Tensors:
    """Return FAMO's state after three steps, one of them without any emotion."""
    model = begun(chosen("LoRA", "famo")).train()
    for step, missing in enumerate((*MISSING.values(), {"emotion": tuple(range(FACES))})):
        pixels, targets = batch(missing, seed=step)
        own = pixels[part], {task: rows[part] for task, rows in targets.items()}
        model(*own)
        with torch.no_grad():
            for parameter in model.encoder.heads.parameters():
                parameter *= 0.8  # in place of an optimiser, the same for all
        model.after_step(*own)
    return dict(model.weights.named_buffers())


def main(folder: Path) -> None:
    with joined(FACES, "cpu") as world:
        result = {
            "one backward": one_backward(world),
            "without emotion": without_emotion(world),
            "batch norms": batch_norms(world),
            "looking back": looking_back(world.part),
        }
        torch.save(result, folder / f"{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
