from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.inference import hardware
from fsb_perception.inference.compiled import Compiled, logits_agree
from fsb_perception.inference.config import EngineConfig, batch_sizes
from fsb_perception.inference.engine import Engine, EngineMemoryError
from fsb_perception.inference.memory import is_out_of_memory
from fsb_perception.inference.torch_runtime import TorchRuntime
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats, Image
from tests.bundles import random_bundle

# Where auto takes bfloat16, the size of a batch shows in the third digit.
EXACT = EngineConfig(precision="fp32")


def micro_bundle(folder: Path, **fields: object) -> Bundle:
    """Return a bundle on a small tower of 32 px."""
    preprocessing = Preprocessing(size=32)
    return random_bundle(folder, backbone="PE-Core-micro", preprocessing=preprocessing, **fields)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return micro_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle)


def faces(count: int, seed: int = 0, side: int = 32) -> list[Image]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8))


@pytest.mark.parametrize("count", [0, 1, 3, 16, 17, 40])
def test_one_row_a_face_that_sums_to_one(engine: Engine, count: int) -> None:
    probabilities = engine.encode(faces(count))
    assert {task: rows.shape for task, rows in probabilities.items()} == {
        name: (count, len(task.labels)) for name, task in TASKS.items()
    }
    for rows in probabilities.values():
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_a_face_is_read_alike_alone_and_in_company(bundle: Bundle) -> None:
    pictures = faces(5)
    together = Engine(bundle, EngineConfig(max_batch=2)).encode(pictures)
    for index, picture in enumerate(pictures):
        alone = Engine(bundle).encode([picture])
        for task, rows in alone.items():
            np.testing.assert_allclose(rows[0], together[task][index], atol=1e-4)


def test_threads_may_share_an_engine(engine: Engine) -> None:
    expected = engine.encode(faces(2))
    with ThreadPoolExecutor(4) as pool:
        for probabilities in pool.map(lambda _: engine.encode(faces(2)), range(12)):
            for task, rows in probabilities.items():
                np.testing.assert_allclose(rows, expected[task], atol=1e-5)


def test_a_temperature_softens_but_keeps_the_order(tmp_path: Path) -> None:
    sharp = Engine(micro_bundle(tmp_path / "sharp")).encode(faces(4))
    soft = Engine(micro_bundle(tmp_path / "soft", temperature=4.0)).encode(faces(4))
    for task, rows in sharp.items():
        np.testing.assert_array_equal(rows.argmax(axis=1), soft[task].argmax(axis=1))
        assert (soft[task].max(axis=1) < rows.max(axis=1)).all()
        logits = np.log(rows.astype(np.float64)) / 4
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(soft[task], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"device": "cuda"}, "finds no GPU"),
        ({"device": "cpu", "precision": "fp16"}, "fp16 is for GPUs"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "onnxruntime computes in fp32, got"),
        ({"runtime": "onnxruntime", "device": "cuda"}, "onnxruntime computes on the CPU"),
    ],
)
def test_what_the_machine_cannot_do_is_refused(
    bundle: Bundle, config: dict[str, str], message: str
) -> None:
    if config == {"device": "cuda"} and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(OptionError, match=message):
        Engine(bundle, EngineConfig(**config))


@pytest.mark.parametrize("face", [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3), np.float32)])
def test_only_a_picture_is_a_face(engine: Engine, face: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image must"):
        engine.encode([face])


class Small:
    """Stands in for a model on a device whose memory holds ``room`` faces at most."""

    def __init__(self, bundle: Bundle, room: int, error: type[Exception] = RuntimeError) -> None:
        self.model, self.room, self.error = TorchRuntime(bundle, EXACT), room, error
        self.asked: list[int] = []

    def __call__(self, pixels: Floats) -> dict[str, Floats]:
        self.asked.append(len(pixels))
        if len(pixels) > self.room:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.model(pixels)


@pytest.mark.parametrize("most", [1, 2, 3, 12, 16, 1024])
def test_batch_sizes_end_at_the_largest_and_at_most_double(most: int) -> None:
    sizes = batch_sizes(most)
    assert sizes[0] == 1
    assert sizes[-1] == most
    assert all(a < b <= 2 * a for a, b in pairwise(sizes))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_batches_are_halved_for_good_when_memory_runs_out(
    bundle: Bundle, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    expected = Engine(bundle, EXACT).encode(faces(20))
    small = Small(bundle, room=5, error=error)
    engine = Engine(bundle, EXACT, model=small)
    with caplog.at_level(logging.WARNING):
        probabilities = engine.encode(faces(20))
    assert small.asked == [16, 8, 4, 4, 4, 4, 4]
    assert engine.max_batch == 4
    assert [record.getMessage()[:60] for record in caplog.records] == [
        "memory does not suffice for 16 faces at once; from now on 8 ",
        "memory does not suffice for 8 faces at once; from now on 4 (",
    ]
    for task, rows in probabilities.items():
        np.testing.assert_allclose(rows, expected[task], atol=1e-5)
    small.asked.clear()
    engine.encode(faces(9))
    assert small.asked == [4, 4, 1]


def test_warming_up_finds_what_memory_takes(bundle: Bundle) -> None:
    small = Small(bundle, room=4)
    engine = Engine(bundle, EXACT, model=small)
    engine.warm_up()
    assert engine.max_batch == 4
    small.asked.clear()
    engine.encode(faces(16))
    assert small.asked == [4] * 4


def test_no_memory_for_one_face_is_an_error(bundle: Bundle) -> None:
    engine = Engine(bundle, EXACT, model=Small(bundle, room=0))
    for _ in range(2):
        with pytest.raises(EngineMemoryError, match=r"one face of 32 px in random@\w+: CUDA out"):
            engine.encode(faces(3))


def test_other_errors_are_raised_as_they_are(bundle: Bundle) -> None:
    def broken(pixels: Floats) -> dict[str, Floats]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    engine = Engine(bundle, model=broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        engine.encode(faces(3))
    assert engine.max_batch == 16


def test_torch_reports_a_lack_of_memory_as_expected() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(("gain", "dtype"), [(8.0, torch.bfloat16), (1.1, torch.float32)])
def test_bf16_is_taken_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(hardware, "bf16_gain", lambda: gain)
    assert hardware.choose_dtype("auto", torch.device("cpu")) == dtype


@pytest.mark.parametrize(
    ("micro_seconds", "gain"),
    [
        pytest.param({64: (4.5, 23.7), 512: (1577, 222)}, 7.1, id="AMX, slow to set up"),
        pytest.param({64: (4.5, 1750)}, 0.003, id="emulated, found out by the small one"),
    ],
)
def test_emulated_bf16_is_recognised_by_its_speed(
    monkeypatch: pytest.MonkeyPatch, micro_seconds: dict[int, tuple[float, float]], gain: float
) -> None:
    def seconds(side: int, dtype: torch.dtype) -> float:
        return micro_seconds[side][dtype == torch.bfloat16]

    monkeypatch.setattr(hardware, "_seconds", seconds)
    assert hardware.bf16_gain.__wrapped__() == pytest.approx(gain, rel=0.2)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="torch knows the flags of x86 alone")
def test_emulated_bf16_is_measured_to_be_slow() -> None:
    made_for_it = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert hardware.bf16_gain() > 0
    assert made_for_it or hardware.bf16_gain() < 1


def test_slow_bf16_is_used_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hardware, "bf16_gain", lambda: 0.01)
    assert hardware.choose_dtype("bf16", torch.device("cpu")) == torch.bfloat16
    assert "100 times slower" in caplog.text


def compiled(bundle: Bundle, sizes: int, **options: object) -> Engine:
    """Return an engine whose torch model is compiled, as on a GPU."""
    engine = Engine(bundle, EngineConfig(precision="fp32", runtime="torch", **options))
    assert isinstance(engine.runtime, TorchRuntime)
    engine.runtime.model = Compiled(bundle.build_model().requires_grad_(False), sizes)
    engine.runtime.prepares = True
    return engine


@pytest.mark.parametrize("count", [1, 3, 5, 11])
def test_a_compiled_encoder_gets_prepared_sizes_only(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    expected = Engine(bundle, EXACT).encode(faces(count))
    sizes: list[int] = []

    def compile_by_noting(model: torch.nn.Module, **_: object) -> Callable:
        def noting(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            sizes.append(len(pixels))
            return model(pixels)

        return noting

    monkeypatch.setattr(torch, "compile", compile_by_noting)
    engine = compiled(bundle, sizes=4, max_batch=8)
    engine.warm_up()
    prepared = set(sizes)
    assert prepared == {1, 2, 4, 8}
    sizes.clear()
    probabilities = engine.encode(faces(count))
    assert sum(sizes) >= count
    assert set(sizes) <= prepared
    for task, rows in probabilities.items():
        assert rows.shape == expected[task].shape
        np.testing.assert_allclose(rows, expected[task], atol=1e-5)


def test_a_compiled_encoder_that_differs_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = Engine(bundle, EXACT).encode(faces(2))
    other = micro_bundle(bundle.folder.parent / "other", seed=1).build_model()
    monkeypatch.setattr(torch, "compile", lambda *_, **__: other)
    engine = compiled(bundle, sizes=1)
    probabilities = engine.encode(faces(2))
    assert [record.message for record in caplog.records] == [
        "torch.compile does not work here (it differs from the plain encoder); "
        "the encoder runs without it"
    ]
    for task, rows in probabilities.items():
        np.testing.assert_allclose(rows, expected[task], atol=1e-5)


def test_on_the_cpu_nothing_is_compiled(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(torch, "compile")
    engine = Engine(bundle, EngineConfig(device="cpu", compile=True, runtime="torch"))
    assert isinstance(engine.runtime, TorchRuntime)
    assert isinstance(engine.runtime.model, MultitaskEncoder)
    assert "engine.compile is ignored on the CPU" in caplog.text


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Keep inductor from starting processes that outlive the test."""
    with torch._inductor.config.patch(compile_threads=1):
        yield


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.usefixtures("one_thread")
def test_torch_compiles(caplog: pytest.LogCaptureFixture) -> None:
    # Not a tower, however small: that takes a minute.
    tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 8), torch.nn.GELU())
    model = MultitaskEncoder(tower, {"gender": torch.nn.Linear(8, 2)}).eval()
    compiled = Compiled(model, sizes=1)
    with torch.inference_mode():
        pixels = torch.rand(2, 3, 4, 4)
        torch.testing.assert_close(compiled(pixels), model(pixels), atol=1e-5, rtol=0)
    assert compiled.works
    # Ours: torch itself may warn, of a CUDA toolkit without a GPU for instance.
    ours = [record for record in caplog.records if record.name.startswith("fsb_perception")]
    assert not [record for record in ours if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("one_thread")
def test_without_a_compiler_the_plain_encoder_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    micro = random_bundle(tmp_path, backbone="SigLIP2-micro", preprocessing=Preprocessing(size=32))
    expected = Engine(micro, EXACT).encode(faces(3, side=32))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    engine = compiled(micro, sizes=5)
    for _ in range(2):
        for task, rows in engine.encode(faces(3, side=32)).items():
            np.testing.assert_allclose(rows, expected[task], atol=1e-5)
    (record,) = [
        record for record in caplog.records if record.name == "fsb_perception.inference.compiled"
    ]
    assert "torch.compile does not work here (InductorError: InvalidCxxCompiler" in record.message


@pytest.mark.parametrize("head", ["text", "mlp"])
def test_half_precision_is_for_the_tower_alone(tmp_path: Path, head: str) -> None:
    """Check the heads: rounded text features would change a cosine times 100 by half a logit."""
    bundle = random_bundle(
        tmp_path, backbone="PE-Core-micro", head=head, preprocessing=Preprocessing(size=32)
    )
    engine = Engine(bundle, EngineConfig(precision="bf16", device="cpu"))
    assert isinstance(engine.runtime, TorchRuntime)
    model = engine.runtime.model
    assert isinstance(model, MultitaskEncoder)
    kept = bundle.build_model().heads.state_dict()
    for name, tensor in model.heads.state_dict().items():
        assert torch.equal(tensor, kept[name])
    assert {p.dtype for p in model.tower.parameters()} == {torch.bfloat16}
    for rows in engine.encode(faces(3, side=32)).values():
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_forms_of_a_model_are_compared_by_their_largest_logit() -> None:
    logits = {"emotion": torch.tensor([[90.0, -40.0]])}
    off = {"emotion": torch.tensor([[91.0, -40.5]])}
    assert logits_agree(logits, off, torch.bfloat16)
    assert not logits_agree(logits, off, torch.float32)
    assert not logits_agree(logits, {"emotion": torch.full((1, 2), torch.nan)}, torch.bfloat16)
