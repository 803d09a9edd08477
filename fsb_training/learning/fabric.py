"""Lightning Fabric as the trainer uses it: device, number format, torchrun's processes.

    Fabric(accelerator, devices, num_nodes, strategy, plugins)
        strategy   one process: nothing is wrapped; several: DistributedDataParallel
        plugins    autocast to bfloat16 or half precision, or none

Three things do not come from Fabric: checkpoints (Fabric's are pickles that a kill may leave half
written), the averaging of batch norms (`fsb_training.learning.batch_norms`), and the wait for work
that one process does alone (`fsb_training.learning.distributed`).
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
"""Limit of the wait for the other processes within a step."""

# Its messages about the devices that it detects repeat ours.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def build_fabric(device: torch.device, precision: str = "auto", size: int = 1) -> Fabric:
    """Return a launched Fabric, which moves, casts, joins processes and steps.

    Args:
        device: of this process; a bare "cuda" gives each process of torchrun its own GPU.
        precision: auto, fp32, bf16 or fp16.
        size: number of processes that learn together; above 1, those of torchrun.

    Raises:
        OptionError: the device lacks the precision, or there are too few GPUs.
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
        gpus = torch.cuda.device_count()
        raise OptionError(
            f"device: got 'cuda' for {here} processes of this machine, which has {gpus} GPUs: "
            f"start torchrun with --nproc_per_node {gpus}, or take --device cpu"
        )
    strategy = DDPStrategy(
        # Heads, adapters and loss weight of a task are not used on a process without a label of it.
        # Those that no process uses keep a gradient of None, so the optimiser leaves them alone.
        find_unused_parameters=True,
        # Rank 0's batch norms would overwrite the others' before each step, even for a task that
        # rank 0 has not seen: see `fsb_training.learning.batch_norms`.
        forward_sync_buffers=False,
        timeout=STEP_LIMIT,
    )
    return {"strategy": strategy, "devices": here, "num_nodes": size // here}


def _precision(name: str, device: torch.device) -> Precision:
    """Return Fabric's plugin for the number format; weights and gradients stay float32."""
    from lightning_fabric.plugins import MixedPrecision, Precision

    class Autocast(MixedPrecision):
        """Fabric's plugin, except that the labels keep their format.

        Fabric casts every input of a model. Label counts and soft labels in bfloat16 would be wrong
        in the third digit. Autocast rounds the products without that cast.
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
    # Half precision scales its loss and may skip steps, so "auto" never chooses it.
    return Autocast("16-mixed", device.type) if name == "fp16" else Precision()
