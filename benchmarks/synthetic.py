"""Synthetic posts, of which any number can be made: what the model found in them, documents, tasks, decisions.

Their names and words follow Zipf's law, as those of real posts do. Some posts have hashtags, and some are in another
script. A seed gives the same posts each time, but for their dates: these end today, so that the overview counts them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from benchmarks.run import Wrong
from core.events import (
    Author,
    Decision,
    EntityType,
    Extraction,
    ImageResult,
    Media,
    Mention,
    Opinion,
    Question,
    Reason,
    ReviewTask,
    Tweet,
    Verdict,
)
from sinks.index.document import Document, from_decision, from_extraction
from sinks.index.index import Index

DAYS = 90
SOURCES = ["bluesky", "mastodon:example.social", "mastodon:example.org", "file", "x"]
LANGUAGES = ["en", "de", "ja", "es", "pt", "ru", "it", "ar", "fr", "tr"]
KINDS: list[EntityType] = ["PER", "LOC", "ORG", "MISC"]
SYLLABLES = ["ba", "da", "fe", "ga", "hi", "ka", "lo", "ma", "ne", "o", "pa", "ri", "sa", "to", "u", "va", "we", "xi"]
SCRIPTS = {
    "ja": ["東京", "大阪", "新聞", "今日", "写真", "天気", "電車", "音楽", "選手", "試合", "ニュース", "コーヒー"],
    "ru": ["Москва", "сегодня", "новости", "погода", "музыка", "футбол", "вечер", "город", "поезд", "река"],
    "ar": ["القاهرة", "اليوم", "أخبار", "الطقس", "موسيقى", "مباراة", "مساء", "مدينة", "قطار", "نهر"],
}
"""Language -> words of its posts, besides their names."""

MODEL_VERSION = 1_750_000_000
HUMAN, TAGGED = 0.05, 0.04
"""Share of posts that a person decided, and share of words that are hashtags."""


class Zipf:
    """Draws from a list so that the n-th item comes with a frequency of 1 / n."""

    def __init__(self, items: list[str], chance: random.Random) -> None:
        self._items, self._chance = items, chance
        self._weights = list(accumulate(1 / rank for rank in range(1, len(items) + 1)))

    def draw(self, count: int) -> list[str]:
        return self._chance.choices(self._items, cum_weights=self._weights, k=count)


def last_day() -> datetime:
    """Returns the end of the posts: the beginning of the present hour."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def extractions(count: int, seed: int = 1, first: int = 0) -> Iterator[Extraction]:
    """Yields what a model found in posts of 5,000 names, 8,000 words, 3,000 authors and 90 days.

    `first`: number of the first post, from which its id is made.
    """
    vocabulary, chance, end = random.Random(1), random.Random(seed), last_day()
    spelled = [" ".join(_word(vocabulary).capitalize() for _ in range(1 + place % 3)) for place in range(5_000)]
    names, words = Zipf(spelled, chance), Zipf([_word(vocabulary) for _ in range(8_000)], chance)
    authors = Zipf([f"{_word(vocabulary)}{place}" for place in range(3_000)], chance)
    sources, languages = Zipf(SOURCES, chance), Zipf(LANGUAGES, chance)
    for number in range(first, first + count):
        (author,), (source,), (lang,) = authors.draw(1), sources.draw(1), languages.draw(1)
        length = chance.randint(8, 30)
        drawn = chance.choices(SCRIPTS[lang], k=length) if lang in SCRIPTS else words.draw(length)
        tagged = [f"#{word}" if chance.random() < TAGGED else word for word in drawn]
        text, spans = _text(tagged, names.draw(chance.choice((0, 1, 1, 2, 3))), chance)
        moment = end - timedelta(seconds=chance.randrange(DAYS * 86_400))
        media = (Media(url=f"https://images.example/{number}.jpg"),) if number % 3 == 0 else ()
        tweet = Tweet(
            id=f"{number:09}",
            text=text,
            created_at=moment,
            received_at=moment + timedelta(seconds=2),
            author=Author(id=f"id:{author}", name=author),
            lang=lang,
            source=source,
            media=media,
        )
        yield Extraction(
            tweet=tweet,
            mentions=tuple(_mention(text, start, end) for start, end in spans),
            image=ImageResult(status="ok", url=media[0].url, width=640, height=480) if media else ImageResult(),
            model="synthetic",
            model_version=MODEL_VERSION,
            threshold=0.5,
            typicality=chance.random(),
        )


def posts(count: int, seed: int = 1, first: int = 0) -> Iterator[Document]:
    """Yields the documents of `extractions`. A person has decided some of the posts."""
    chance = random.Random(seed)
    for read in extractions(count, seed, first):
        is_decided = read.mentions and chance.random() < HUMAN
        yield from_decision(_decided(read)) if is_decided else from_extraction(read, read.mentions)


def tasks(count: int, seed: int = 2) -> list[ReviewTask]:
    """Returns tasks with one question each: about the first mention of a post."""
    read = (each for each in extractions(3 * count + 100, seed) if each.mentions)
    return [_task(each) for each, _ in zip(read, range(count), strict=False)]


async def fill(index: Index, count: int, seed: int = 1) -> None:
    """Fills an index with `posts`, and makes them searchable. Raises `Wrong` if one is not written."""
    await index.prepare()
    batch: list[Document] = []
    for place, document in enumerate(posts(count, seed), start=1):
        batch.append(document)
        if len(batch) == 1_000 or place == count:
            await write(index, batch)
            batch = []
    await index.refresh()


async def write(index: Index, documents: list[Document]) -> None:
    """Writes documents. Raises `Wrong` if one is not written."""
    if kinds := {outcome.kind for outcome in await index.write(documents)} - {"written"}:
        raise Wrong(f"the index did not take all posts: {', '.join(kinds)}")


def _task(read: Extraction) -> ReviewTask:
    reason = Reason(kind="low_probability", sentence="the model is 60% sure; the threshold is 80%")
    asked = read.mentions[0].model_copy(update={"probability": 0.6, "aleatoric": 0.2, "epistemic": 0.1})
    return ReviewTask(
        id=f"{read.tweet.id}:0:synthetic:1",
        tweet=read.tweet,
        questions=(Question(mention=asked, reasons=(reason,)),),
        confident=read.mentions[1:],
        image=read.image,
        model=read.model,
        model_version=read.model_version,
        threshold=0.8,
        uncertainty=0.4,
    )


def _decided(read: Extraction) -> Decision:
    """Returns the decision of a person who finds each fourth mention wrong."""
    task, received = _task(read), read.tweet.received_at
    assert received is not None
    before, number = task.questions[0].mention, int(read.tweet.id)
    after = before.model_copy(update={"source": "human"})
    verdict = (
        Verdict(action="accept", before=before, after=after) if number % 4 else Verdict(action="reject", before=before)
    )
    kept = tuple(mention.model_copy(update={"source": "human"}) for mention in read.mentions[not number % 4 :])
    return Decision(
        id=f"d{number}",
        task=task,
        mentions=kept,
        verdicts=(verdict,),
        reviewer=f"reviewer {number % 7}",
        decided_at=received + timedelta(hours=1),
    )


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(SYLLABLES, k=chance.randint(1, 4)))


def _text(words: list[str], names: list[str], chance: random.Random) -> tuple[str, list[tuple[int, int]]]:
    """Puts the names among the words. Returns the text and the span of each name."""
    parts: list[tuple[str, bool]] = [(word, False) for word in words]
    for name in names:
        parts.insert(chance.randint(0, len(parts)), (name, True))
    text, spans = "", []
    for part, is_name in parts:
        text += " " if text else ""
        if is_name:
            spans.append((len(text), len(text) + len(part)))
        text += part
    return text, spans


def _mention(text: str, start: int, end: int) -> Mention:
    """Returns a mention whose type depends on its name alone, as with most real names."""
    name = text[start:end]
    views = {
        "text": Opinion(probability=0.9, aleatoric=0.1, epistemic=0.05, share=0.7),
        "text+image": Opinion(probability=0.8, aleatoric=0.2, epistemic=0.1, share=0.3),
    }
    return Mention(
        start=start,
        end=end,
        text=name,
        type=KINDS[sum(map(ord, name)) % len(KINDS)],
        probability=0.9,
        aleatoric=0.05,
        epistemic=0.01,
        views=views,
    )
