"""Options of the encoder: the library, the device and the number format that compute it."""

from __future__ import annotations

from fsb_perception.options import Options, option


class EngineConfig(Options):
    """Options of the encoder: where and how it runs.

    >>> EngineConfig(device="cpu").precision
    'auto'
    """

    runtime: str = option(
        "auto",
        "library that computes the encoder; auto takes torch on a GPU and for the formats that "
        "only it has, and onnxruntime otherwise",
        choices=("auto", "onnxruntime", "torch"),
    )
    device: str = option("auto", "where the encoder runs", choices=("auto", "cuda", "cpu"))
    precision: str = option(
        "auto",
        "number format of the encoder: auto is fp32 with onnxruntime; torch then takes bf16 where "
        "it is measured to be faster",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    threads: int = option(
        0, "CPU threads of the encoder; 0 for as many as are worth it", ge=0, le=256
    )
    compile: bool = option(
        False, "use torch.compile on a GPU, which takes minutes at the start; a CPU ignores it"
    )
    max_batch: int = option(
        16, "more faces than this are encoded in several batches", ge=1, le=1024
    )


def batch_sizes(most: int) -> tuple[int, ...]:
    """Return the numbers of faces for which shapes are prepared: powers of two, and the largest.

    >>> batch_sizes(12)
    (1, 2, 4, 8, 12)
    """
    return (*(2**power for power in range((most - 1).bit_length())), most)
