"""Reports of too little memory, from any of the libraries that compute."""

from __future__ import annotations

_PHRASES = (
    *("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED"),  # torch
    *("bad allocation", "bad_alloc", "Failed to allocate memory"),  # ONNX Runtime
)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error is a library's, or Python's, report of too little memory.

    On the CPU torch raises a plain RuntimeError, and the errors of ONNX Runtime have no class of
    their own, so the text decides.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return not isinstance(error, ValueError) and any(phrase in text for phrase in _PHRASES)
