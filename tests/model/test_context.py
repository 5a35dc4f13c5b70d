"""The context of a post: order, form, and how long parts are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import Media, Tweet
from model.context import MAX_CHARACTERS, context_text, visual_context
from model.tokens import TweetTokenizer
from model.vision.values import MAX_WORDS, Tag, TextLine, VisualContext

BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.1), (0.0, 0.1))


def tweet(*alts: str | None) -> Tweet:
    return Tweet(id="1", text="x", media=tuple(Media(url="http://images.test/1.jpg", alt=alt) for alt in alts))


def visual(
    tags: dict[str, float] | None = None, caption: str | None = None, lines: tuple[str, ...] = ()
) -> VisualContext:
    return VisualContext(
        tags=tuple(Tag(label=label, score=score) for label, score in (tags or {}).items()),
        caption=caption,
        lines=tuple(TextLine(text=text, score=0.9, box=BOX) for text in lines),
    )


@pytest.mark.parametrize(
    ("alts", "read", "expected"),
    [
        pytest.param([], None, None, id="no media"),
        pytest.param([None, " \n "], visual(), None, id="nothing but blanks"),
        pytest.param(["a dog\n runs", None, "a cat"], None, "a dog runs . a cat", id="alternative texts alone"),
        pytest.param([], visual({"dog": 0.9, "ball": 0.5}), "dog, ball", id="tags alone"),
        pytest.param([], visual({"dog": 0.9, "cat": 0.01}), "dog", id="a tag with a low score"),
        pytest.param([], visual(lines=("CHRIS PAUL", "BE LIKE")), "CHRIS PAUL BE LIKE", id="text alone"),
        pytest.param(
            ["my dog"],
            visual({"dog": 0.9}, "a dog with a ball", ("GOOD", "BOY")),
            "my dog . a dog with a ball . dog . GOOD BOY",
            id="alternative text, caption, tags, text",
        ),
        pytest.param(
            ["A dog"],
            visual({"dog": 0.9}, "a  dog", ("a dog", "Dog", "bowl")),
            "A dog . dog . bowl",
            id="repetitions are dropped",
        ),
        pytest.param([], visual({"dog": 0.9, "Dog": 0.8}), "dog", id="one tag for two boxes"),
    ],
)
def test_order_and_form(alts: list[str | None], read: VisualContext | None, expected: str | None) -> None:
    assert context_text(tweet(*alts), read) == expected


LONG = {"sentences": "s" * MAX_WORDS, "tags": "t" * MAX_WORDS, "text": "x" * MAX_WORDS}


@pytest.mark.parametrize(
    ("long", "lengths"),
    [
        pytest.param({"sentences"}, (256, 0, 0), id="a long caption alone is not cut"),
        pytest.param({"text"}, (0, 0, 256), id="long text alone is not cut"),
        pytest.param({"sentences", "text"}, (130 + 43, 0, 80), id="a caption gets its share and what tags leave"),
        pytest.param({"sentences", "tags"}, (256 - 40 - 3, 40, 0), id="tags keep their share beside a long caption"),
        pytest.param({"sentences", "tags", "text"}, (130, 40, 80), id="each gets its share"),
    ],
)
def test_long_parts_are_cut_to_their_shares(long: set[str], lengths: tuple[int, int, int]) -> None:
    read = visual(
        {LONG["tags"]: 1.0} if "tags" in long else None,
        LONG["sentences"] if "sentences" in long else None,
        (LONG["text"],) if "text" in long else (),
    )
    context = context_text(tweet(), read) or ""
    assert tuple(context.count(letter) for letter in "stx") == lengths
    assert len(context) <= MAX_CHARACTERS


def test_the_encoder_reads_part_of_each_source(tokenizer: TweetTokenizer) -> None:
    """The shipped tokenizer cuts a context after `max_context` subwords."""
    alt = (
        "Two men in dark suits shake hands on a red carpet in front of a row of flags, while a dozen photographers "
        "behind a rope raise their cameras; it has rained, and an aide holds an umbrella over the older of the two, "
        "who looks into the distance and smiles as if he had been told a joke that he did not quite understand."
    )
    context = tokenizer.encode("x", context_text(tweet(alt), visual({"suit": 0.9}, None, ("WHITE HOUSE BRIEFING",))))
    assert context.context is not None
    read = tokenizer.tokenizer.decode(list(context.context))
    assert read.startswith("two men")
    assert read.endswith("suit. white house briefing")


def test_without_images_the_context_is_the_alternative_texts() -> None:
    assert visual_context(tweet("a dog")) == context_text(tweet("a dog"), None) == "a dog"


@given(
    alt=st.text(max_size=600),
    caption=st.text(max_size=MAX_WORDS),
    labels=st.text(max_size=MAX_WORDS),
    text=st.text(max_size=MAX_WORDS),
)
def test_the_context_is_one_line_within_the_limit(alt: str, caption: str, labels: str, text: str) -> None:
    context = context_text(tweet(alt), visual({labels: 0.9}, caption, (text,)))
    assert context is None or (0 < len(context) <= MAX_CHARACTERS and " ".join(context.split()) == context)
