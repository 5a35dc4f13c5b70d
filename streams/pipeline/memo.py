"""Remembers what the model said, so that it reads copies of a post once.

Two posts whose input is the same to the last token and pixel get the same prediction. Only the offsets differ, since
one may have a longer address or another blank; they are mapped word by word. Nothing of a post's text is kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from model.mentions import Prediction
from model.tokens import Encoded

MOST = 10_000
"""Most predictions that are remembered: about 20 MB, since no post is longer than the encoder reads at once."""

Places = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Known:
    prediction: Prediction
    spans: Places  # of the post that the model read, as the checkpoint that answered split it
    at: float  # monotonic seconds


class Memo:
    """Predictions by input. Forgets those older than `window_s` seconds, and the oldest beyond `most`."""

    def __init__(self, window_s: float, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s, self._most, self._clock = window_s, most, clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def predict(
        self, batch: Sequence[Encoded], infer: Callable[[list[Encoded]], Awaitable[list[Prediction]]]
    ) -> tuple[list[Prediction], int]:
        """Returns one prediction per post, in order, and how many posts the model did not have to read.

        `infer` gets each unknown input once, and is not called if there is none.
        """
        keys = [_key(post) for post in batch]
        known = {key: kept for key in keys if (kept := self._recalled(key)) is not None}
        found: list[Prediction | None] = [None] * len(batch)
        asked = 0
        while True:
            missing: dict[bytes, int] = {}  # the first post of each input that has no prediction yet
            for place, (key, post) in enumerate(zip(keys, batch, strict=True)):
                if found[place] is None and key in known:
                    recalled = known[key]
                    own = post.stages[recalled.prediction.stage].spans
                    found[place] = mapped(recalled.prediction, recalled.spans, own)
                if found[place] is None:
                    missing.setdefault(key, place)
            if not missing:
                return [prediction for prediction in found if prediction is not None], len(batch) - asked
            posts = [batch[place] for place in missing.values()]
            now = self._clock()
            for (key, place), prediction in zip(missing.items(), await infer(posts), strict=True):
                found[place] = prediction
                known[key] = _Known(prediction, batch[place].stages[prediction.stage].spans, now)
                if not any(stage.windows for stage in batch[place].stages):
                    self._keep(key, known[key])
            asked += len(posts)

    def _recalled(self, key: bytes) -> _Known | None:
        known = self._known.get(key)
        return known if known is not None and self._clock() - known.at < self._window_s else None

    def _keep(self, key: bytes, known: _Known) -> None:
        if self._window_s <= 0:
            return
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)


def mapped(prediction: Prediction, spans: Places, own: Places) -> Prediction | None:
    """Returns the prediction for a post whose words have the places `own`. The model read one with `spans`.

    Returns None if a span of the prediction does not begin and end with a word.
    """
    if spans == own:
        return prediction
    starts = {start: place for place, (start, _) in enumerate(spans)}
    ends = {end: place for place, (_, end) in enumerate(spans)}
    parts = []
    for part in (prediction.spans, prediction.candidates):
        if any(span.start not in starts or span.end not in ends for span in part):
            return None
        parts.append(
            tuple(replace(span, start=own[starts[span.start]][0], end=own[ends[span.end]][1]) for span in part)
        )
    return replace(prediction, spans=parts[0], candidates=parts[1])


def _key(post: Encoded) -> bytes:
    """Returns a digest of all that the model reads: everything but the places of the words in the raw text."""
    tokens = (post.text, post.shapes, post.context, post.heads, post.opens_line, post.in_account, post.windows)
    key = sha256(repr(tokens).encode())
    if post.pixels is not None:
        key.update(f"pixels {post.pixels.width} {post.pixels.height} ".encode())
        key.update(post.pixels.rgb)
    if post.image is not None:
        key.update(f"image {post.image.shape} {post.image.dtype} ".encode())
        key.update(post.image.tobytes())
    for later in post.later:
        key.update(_key(later))
    return key.digest()
