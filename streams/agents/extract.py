"""tweets ─► extractions: decode, fetch and read the image, tokenise, infer in micro-batches, produce."""

from __future__ import annotations

from model.cascade_file import Cascade
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.pipeline.decode import DecodePost
from streams.pipeline.fetch import Fetch
from streams.pipeline.infer import Infer
from streams.pipeline.item import TweetItem
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.produce import Produce
from streams.pipeline.tokenise import Tokenise
from streams.topics import EXTRACTIONS

PRODUCING = 128
"""Records that may wait for the broker at the same time. This is enough to fill the producer's batches."""


async def pipeline(resources: Resources) -> Pipeline[TweetItem]:
    """Returns the pipeline, not yet started. The model is loaded before anything is taken from Kafka.

    Raises `UserError` when a model cannot be loaded.
    """
    settings = resources.settings
    model, tokenizer, process = await resources.model()
    info = model.as_checkpoint if isinstance(model, Cascade) else model
    threshold = info.threshold if settings.threshold is None else settings.threshold
    candidate_threshold = (
        info.candidate_threshold if settings.candidate_threshold is None else settings.candidate_threshold
    )
    return resources.pipeline(
        AgentName.EXTRACT,
        [
            DecodePost(),
            Fetch(
                await resources.images(),
                await resources.vision(),
                settings.in_flight,
                keep_pixels=info.vision is not None,
            ),
            Tokenise(tokenizer, settings.accounts),
            Infer(
                process,
                info,
                threshold,
                candidate_threshold,
                settings.batch,
                settings.copies.window_s,
                model.checkpoints if isinstance(model, Cascade) else (),
                promised=(info.target_precision or None) if settings.threshold is None else None,
            ),
            Produce(await resources.producer(), settings.name(EXTRACTIONS), PRODUCING),
        ],
        TweetItem,
    )
