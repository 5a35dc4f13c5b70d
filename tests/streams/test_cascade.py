"""A worker with a cascade: what it loads, and what its extractions say. The checkpoints are stubs here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.events import Extraction, Tweet
from desk.overview import figures
from model.checkpoint import describe
from streams.agents import extract
from streams.agents.resources import Resources
from streams.checkpoint import cascade_here, checkpoint_here
from streams.pipeline.infer import Infer
from streams.pipeline.item import Origin, TweetItem
from streams.pipeline.tokenise import Tokenise
from streams.servers import Addresses
from streams.settings import CHECKPOINT, Settings
from tests.model.cascades import COPY, write_twice


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a cascade of the shipped checkpoint and a copy with another name. Its stubs send each post on."""
    file, version = tmp_path / "twice.json", describe(CHECKPOINT).model_version + 1
    write_twice(file, model_version=version, threshold=0.66, target_precision=0.93, candidate_threshold=0.25)
    return Settings(
        _env_file=None,
        home=tmp_path,
        cascade=file,
        model=tmp_path / "nowhere",
        model_factory="tests.model.stub_model:load_unsure",
        device="cpu",
        model_threads=1,
    )


@pytest.fixture
async def stages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sequence[Any]]:
    """The stages of the extract agent, with a model but without servers."""

    async def none(resources: Resources) -> Any:
        return None

    for name in ("producer", "images", "vision"):
        monkeypatch.setattr(Resources, name, none)
    monkeypatch.setattr(Resources, "pipeline", lambda self, name, stages, item: stages)
    resources = Resources(settings, Addresses("", "", ""))
    try:
        made: Any = await extract.pipeline(resources)
        yield made
    finally:
        await resources.close()


async def test_an_extraction_has_the_name_of_the_cascade_and_of_who_answered(stages: Sequence[Any]) -> None:
    item = TweetItem(Origin("tweets", 0, 0, None, b"{}", 0.0), parsed=Tweet(id="1", text="Paris by night"))
    (tokenise,) = (stage for stage in stages if isinstance(stage, Tokenise))
    (infer,) = (stage for stage in stages if isinstance(stage, Infer))
    await tokenise.process(item)
    await infer.process([item])
    made, info = item.extraction, describe(CHECKPOINT)
    assert made is not None
    assert (made.model, made.model_version, made.answered_by) == ("twice", info.model_version + 1, COPY)
    assert (made.threshold, made.candidate_threshold) == (0.66, 0.25)


def test_an_extraction_names_who_answered_and_stays_as_it_was_without_a_cascade() -> None:
    made = Extraction(tweet=Tweet(id="1", text="x"), model="m", model_version=1, threshold=0.5)
    assert "answered_by" not in made.model_dump(mode="json")
    named = made.model_copy(update={"answered_by": "small"})
    assert Extraction.model_validate_json(named.model_dump_json()) == named


def test_the_cascade_takes_the_place_of_the_checkpoint(settings: Settings) -> None:
    assert (checkpoint_here(settings).name, checkpoint_here(settings).target_precision) == ("twice", 0.93)
    shown = figures._checkpoint(settings).value
    assert shown is not None
    assert shown.name == "twice"


def test_without_a_cascade_there_is_none() -> None:
    assert cascade_here(Settings(_env_file=None)) is None


def test_an_error_names_the_setting(settings: Settings) -> None:
    gone = settings.changed(cascade=Path("nowhere.json"))
    with pytest.raises(UserError, match=r"^MNER_CASCADE: no cascade in nowhere\.json: .*choose another file"):
        checkpoint_here(gone)
    assert figures._checkpoint(gone).problem is not None
