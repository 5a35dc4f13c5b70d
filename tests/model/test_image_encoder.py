"""The view `image`: features of images, in training and for prediction."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import ResNetConfig, ResNetModel, ViTImageProcessor

from cli import predict as predict_command
from cli.training.teachers import has_image_encoder
from core.errors import UserError
from core.events import Tweet
from core.pixels import Pixels
from demo.examples import EXAMPLES
from model import predictor as model_predictor
from model.checkpoint import describe, write_config
from model.design import Design
from model.extractor import Extractor
from model.image_encoder import ImageEncoder
from model.mentions import candidate_mentions, mentions
from model.predictor import Predictor
from model.tagger import Tagger
from model.training.image_features import read_features
from model.training.publish import write
from model.worker import ModelProcess
from streams.settings import CHECKPOINT
from tests.model.toys import bert, examples, save, save_vit
from tests.model.training.runs import train


def image(colour: str) -> Image.Image:
    return Image.new("RGB", (40, 24), colour)


def test_images_that_are_missing_or_broken_are_left_out(tmp_path: Path) -> None:
    encoder = ImageEncoder(str(save_vit(tmp_path / "vit")), "cpu")
    image("red").save(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes(b"not an image")
    progress: list[float] = []
    features = read_features(tmp_path, ["1", "2", "3", "1"], encoder, progress.append)
    assert set(features) == {"1"}
    assert features["1"].shape == (5, encoder.width) == (5, 16)
    assert progress == [1.0]


def test_a_convolutional_network_gives_one_row_per_patch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    encoder = ImageEncoder(str(tmp_path), "cpu")
    assert encoder.features([image("red")]).shape == (1, 16, encoder.width) == (1, 16, 16)


def test_a_checkpoint_with_the_view_image_is_trained_and_reads_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, images = tmp_path / "toy2017", tmp_path / "images"
    data.mkdir()
    images.mkdir()
    number = 0
    for split, size in (("train", 48), ("valid", 24), ("test", 8)):
        text = ""
        for example in examples(size):
            number += 1
            image("red" if number % 2 else "blue").save(images / f"{number}.jpg")
            rows = [*zip(example.words, example.tags, strict=True), (f"{split}{number}", "O")]
            text += f"IMGID:{number}\n" + "".join(f"{word}\t{tag}\n" for word, tag in rows) + "\n"
        (data / f"{split}.txt").write_text(text, encoding="utf-8")
    encoder, vision = save(tmp_path / "encoder", bert), save_vit(tmp_path / "vit")
    train(
        tmp_path / "first",
        data,
        {
            "data.images": images,
            "image_encoder": vision,
            "design.views": ["text", "image"],
            "encoder": encoder,
            "optimisation.epochs": 6,
            "optimisation.encoder_rate": 5e-3,
            "optimisation.head_rate": 1e-2,
            "optimisation.batch_tokens": 128,
            "target_precision": 0.5,
        },
    )
    assert len({path.stat().st_mode for path in (tmp_path / "first" / "vision").iterdir()}) == 1
    assert has_image_encoder(describe(tmp_path / "first"), str(vision))
    shutil.rmtree(vision)
    (tmp_path / "first").rename(tmp_path / "out")
    info = describe(tmp_path / "out")
    assert has_image_encoder(info, str(tmp_path / "out" / ".." / "out" / "vision"))
    assert not has_image_encoder(info, "google/other")
    assert (info.design.views, info.vision) == (("text", "image"), str(tmp_path / "out" / "vision"))
    assert info.design.image_width == 16
    write_config(tmp_path / "out", info)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vision"] == "vision"

    extractor, tweet = Extractor.load(tmp_path / "out", device="cpu"), Tweet(id="1", text="ann visits rome")
    no_image, red, blue = extractor.extract([tweet] * 3, None, [None, image("red"), image("blue")])
    assert all((no_image, red, blue))
    assert no_image[0].views.keys() == {"text"}
    assert red[0].views.keys() == {"text", "image"}
    assert sum(view.share for view in red[0].views.values()) == pytest.approx(1, abs=1e-4)
    assert red[0].views["image"] != blue[0].views["image"]

    capsys.readouterr()
    predict_command.command(
        text=tweet.text, image=str(images / "1.jpg"), no_vision=True, as_json=True, checkpoint=tmp_path / "out"
    )
    (mention, *_) = json.loads(capsys.readouterr().out)["mentions"]
    assert mention["views"].keys() == {"text", "image"}


def test_an_encoder_that_cannot_be_loaded_raises_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the vision model /nowhere/x cannot be loaded") as error:
        ImageEncoder("/nowhere/x", "cpu")
    assert "\n" not in str(error.value)


def test_the_encoder_is_loaded_once_with_the_first_image_and_errors_name_the_checkpoint(
    extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_encoder(name: str) -> Extractor:
        old = extractor.predictor
        design = Design(views=("text", "image"), image_width=16)
        info = old.info.model_copy(update={"vision": name, "design": design})
        return Extractor(extractor.tokenizer, Predictor(old.network, info, old.device))

    loaded: list[str] = []

    class Counted(ImageEncoder):
        def __init__(self, name: str, device: str) -> None:
            loaded.append(name)
            super().__init__(name, device)

    monkeypatch.setattr(model_predictor, "ImageEncoder", Counted)
    missing = with_encoder("/nowhere/x")
    tweet = Tweet(id="1", text="Paris")
    assert missing.extract([tweet], images=[None]) == missing.extract([tweet])
    assert loaded == []
    with pytest.raises(UserError, match=rf"the checkpoint {extractor.info.name} .* /nowhere/x cannot be loaded"):
        missing.extract([tweet], images=[image("red")])
    intact = with_encoder(str(save_vit(tmp_path / "vit")))
    with ThreadPoolExecutor(4) as pool:
        encoders = list(pool.map(lambda _: intact.predictor.image_encoder(), range(4)))
    assert all(encoder is encoders[0] for encoder in encoders)
    other = with_encoder(str(tmp_path / "vit"))
    other.predictor.info = other.info.model_copy(update={"design": Design(views=("text", "image"), image_width=24)})
    with pytest.raises(UserError, match=r"reads image features of width 24: .*vit makes 16"):
        other.extract([tweet], images=[image("red")])
    loaded.pop()
    assert loaded == ["/nowhere/x", str(tmp_path / "vit")]


def test_a_model_without_the_view_image_does_not_open_images(extractor: Extractor, tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes((EXAMPLES / "images" / "coffee.jpg").read_bytes()[:2000])
    with Image.open(tmp_path / "cut.jpg") as broken:
        assert extractor.extract([Tweet(id="1", text="Paris")], images=[broken])


def test_there_must_be_as_many_images_as_posts(extractor: Extractor, tmp_path: Path) -> None:
    tweets = [Tweet(id="1", text="Paris"), Tweet(id="2", text="Rome")]
    for wrong in ([], [None], [image("red")] * 3):
        with pytest.raises(ValueError, match="zip"):
            extractor.extract(tweets, images=wrong)


async def test_the_process_reads_images_as_the_extractor_does(extractor: Extractor, tmp_path: Path) -> None:
    """The checkpoint has the shipped encoder and an untrained view `image`."""
    folder, design = tmp_path / "checkpoint", Design(views=("text", "image"), image_width=16)
    old, vision = extractor.predictor, str(save_vit(tmp_path / "vit"))
    torch.manual_seed(0)
    network = Tagger(old.network.config, design)
    update = {"design": design, "base": None, "vision": vision}
    write(folder, network, extractor.tokenizer, old.info.model_copy(update=update))
    here, tweet = Extractor.load(folder, device="cpu", candidate_threshold=0.01), Tweet(id="1", text="Paris")
    pixels = Pixels.of(image("red"))
    encoded = replace(here.tokenizer.encode(tweet.text, None), pixels=pixels)
    worker = ModelProcess("model.predictor:load", folder, "cpu", 1, 60.0, 0.01, describe(folder))
    try:
        (prediction,) = await worker.infer([encoded])
    finally:
        await worker.close()
    (extracted,) = here.extract_all([tweet], images=[pixels.image()])
    assert extracted.mentions or extracted.candidates
    assert list(mentions(tweet.text, prediction)) == extracted.mentions
    assert list(candidate_mentions(tweet.text, prediction)) == extracted.candidates
    assert all(span.views.keys() == {"text", "image"} for span in (*prediction.spans, *prediction.candidates))


async def test_a_process_does_not_start_without_its_image_encoder(extractor: Extractor, tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "copy")
    info = extractor.info.model_copy(update={"vision": "/nowhere/x"})
    write_config(tmp_path / "copy", info)
    worker = ModelProcess("model.predictor:load", tmp_path / "copy", "cpu", 1, 60.0, info=info)
    try:
        with pytest.raises(UserError, match=r"reads images: the vision model /nowhere/x cannot be loaded"):
            await worker.start()
    finally:
        await worker.close()
