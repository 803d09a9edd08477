"""Lightning Fabric as the trainer uses it: the device, the number format, torchrun's processes.

    Fabric(accelerator, devices, num_nodes, strategy, plugins)
        strategy   one process: nothing is wrapped; several: DistributedDataParallel
        plugins    autocast to bfloat16 or half precision, or none

What Fabric would do otherwise than a run needs stays ours: checkpoints (its are pickles that a
kill may leave half written), averaging of batch norms, and waiting for what one process does alone
(`fsb_training.learning.distributed`).
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from fsb_perception.inference.hardware import choose_dtype
from fsb_perception.options import OptionError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import Precision

STEP_LIMIT = timedelta(minutes=10)
"""How long a process waits for the others within a step before it gives up."""

# Its words on what it found are about itself.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def build_fabric(device: torch.device, precision: str = "auto", size: int = 1) -> Fabric:
    """What moves, casts, joins and steps; launched.

    Args:
        device: of this process, or its kind: a process of torchrun has its own GPU of the machine.
        precision: auto, fp32, bf16 or fp16.
        size: processes that learn together; over 1, those of torchrun.

    Raises:
        OptionError: the device has no such precision, or there are too few GPUs.
    """
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        plugins=[_precision(precision, device)],
        **(_many(device, size) if size > 1 else _one(device)),
    )
    fabric.launch()
    return fabric


def _one(device: torch.device) -> dict[str, Any]:
    from lightning_fabric.strategies import SingleDeviceStrategy

    if device.type == "cuda":
        device = torch.device("cuda", device.index or torch.cuda.current_device())
    return {"strategy": SingleDeviceStrategy(device)}


def _many(device: torch.device, size: int) -> dict[str, Any]:
    from lightning_fabric.strategies import DDPStrategy

    here = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    if device.type == "cuda" and here > torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise OptionError(
            f"device: got 'cuda' for {here} processes of this machine, which has {found} GPUs: "
            f"start torchrun with --nproc_per_node {found}, or take --device cpu"
        )
    strategy = DDPStrategy(
        # Heads, adapters and loss weight of a task are not used on a process without a label of it.
        # Those that no process uses keep a gradient of None, so the optimiser leaves them alone.
        find_unused_parameters=True,
        # Rank 0's batch norms would overwrite the others' before each step, also those of a task of
        # which rank 0 has seen nothing: see `fsb_training.learning.distributed.average_buffers`.
        forward_sync_buffers=False,
        timeout=STEP_LIMIT,
    )
    return {"strategy": strategy, "devices": here, "num_nodes": size // here}


def _precision(name: str, device: torch.device) -> Precision:
    """Fabric's plugin for the number format of the model; weights and gradients stay float32."""
    from lightning_fabric.plugins import MixedPrecision, Precision

    class Autocast(MixedPrecision):
        """Fabric's, but labels stay as they are.

        Fabric casts all that goes into a model. Label counts and soft labels in bfloat16 would be
        wrong in the third digit; autocast rounds where it should without that.
        """

        def convert_input(self, data: Any) -> Any:
            return data

    if name == "fp16" and device.type == "cpu":
        raise OptionError(
            "optimiser.precision: got 'fp16', which is for GPUs; on the CPU take fp32, bf16 or auto"
        )
    dtype = choose_dtype(name, device)
    if dtype == torch.bfloat16:
        return Autocast("bf16-mixed", device.type)
    # Half precision needs its loss scaled and may skip steps: only where it is asked for.
    return Autocast("16-mixed", device.type) if name == "fp16" else Precision()
