"""The shipped checkpoint on posts as people write them: glued addresses, HTML entities, fancy letters, other scripts,
signs alone.

`needs_training` marks what the shipped checkpoint gets wrong. It is strict, so a better checkpoint shows here.
"""

from __future__ import annotations

from itertools import chain

import pytest

from core.events import Extraction, Tweet
from core.spelling import normalise
from model.addresses import end_of_address
from model.checkpoint import describe
from model.extractor import Extracted, Extractor
from model.words import split_words
from streams.settings import CHECKPOINT
from tests.model.other_languages import OTHER_SCRIPTS, WITHOUT_NAMES

needs_training = pytest.mark.xfail(strict=True, reason="the shipped checkpoint was not trained on this")

Found = list[tuple[str, str]]
"""The text and type of each mention."""


Read = dict[str, Extracted]
"""The result for each text of this module."""


@pytest.fixture(scope="module")
def read(extractor: Extractor) -> Read:
    """Extracts from all texts in one go. `Extraction` checks every span."""
    tweets = [Tweet(id="1", text=text) for text in sorted(all_texts())]
    results = extractor.extract_all(tweets)
    for post, result in zip(tweets, results, strict=True):
        mentions, candidates = tuple(result.mentions), tuple(result.candidates)
        Extraction(tweet=post, mentions=mentions, candidates=candidates, model="m", model_version=0, threshold=0.5)
    return {post.text: result for post, result in zip(tweets, results, strict=True)}


def found(result: Extracted) -> Found:
    return [(mention.text, mention.type) for mention in result.mentions]


def confident(result: Extracted) -> Found:
    least = describe(CHECKPOINT).threshold
    return [(mention.text, mention.type) for mention in result.mentions if mention.probability >= least]


MERKEL: Found = [("Angela Merkel", "PER")]
PARIS: Found = [("Paris", "LOC")]

GLUED: dict[str, Found] = {
    "Angela Merkelhttps://t.co/abc": MERKEL,
    "Angela Merkelhttps://t.co/abc spoke in Berlin": [*MERKEL, ("Berlin", "LOC")],
    "Angela MerkelHTTPS://T.CO/ABC": MERKEL,
    "Angela Merkelpic.twitter.com/AbC123": MERKEL,
    "Angela Merkel🔥https://t.co/abc": MERKEL,
    "Angela Merkel—https://t.co/abc": MERKEL,
    "Angela Merkel&quot;https://t.co/abc": MERKEL,
    "Angela Merkel\u200bhttps://t.co/abc": MERKEL,
    "𝐀𝐧𝐠𝐞𝐥𝐚 𝐌𝐞𝐫𝐤𝐞𝐥https://t.co/abc": [("𝐀𝐧𝐠𝐞𝐥𝐚 𝐌𝐞𝐫𝐤𝐞𝐥", "PER")],
    "“Angela Merkel”https://t.co/abc": MERKEL,
    "Steph Curry(https://x.y/z)": [("Steph Curry", "PER")],
    "Steph Curry|https://x.y/z|LeBron James": [("Steph Curry", "PER"), ("LeBron James", "PER")],
    "Obamawww.cnn.com": [("Obama", "PER")],
    "Obamawww.cnn.com/x spoke": [("Obama", "PER")],
    "Paris,http://a.b": PARIS,
    "We love Paris.http://a.b/c": PARIS,
    "#Parishttps://t.co/abc": PARIS,
    "https://t.co/abc#Paris": PARIS,
    "[Paris](https://t.co/x)": PARIS,
    "https://t.co/abchttps://t.co/def Angela Merkel": MERKEL,
    "see Paris:http://a.b,London:http://c.d": [*PARIS, ("London", "LOC")],
    # a code of t.co has ten characters at most, so what follows is another word
    "https://t.co/AbCdEfGhIjAngela Merkel": MERKEL,
    # undecidable: `Angela` may belong to the code, and `Merkelbit.ly` may be a host
    "https://t.co/xAngela": [],
    "Angela Merkelbit.ly/2x": [("Angela", "PER")],
    # addresses that were cut
    "Angela Merkelhttp://": MERKEL,
    "Angela Merkelhttps:/…": MERKEL,
    "Angela Merkelhttps:…": MERKEL,
    "Angela Merkelhttps…": MERKEL,
    "Angela Merkelhtt…": MERKEL,
    "Angela Merkelhttp:": MERKEL,
    "Angela Merkelhttp": MERKEL,
    "Angela Merkelhttp...": MERKEL,
    "Angela Merkel https://t.…": MERKEL,
    # an address and no name
    "see:www.x.de": [],
    "(https://x.y/z).": [],
    "https://www.facebook.com/AngelaMerkel": [],
    "https://en.wikipedia.org/wiki/Paris_(Texas) is a town": [],
    "mail angela@merkel.de": [],
}
"""Text -> its mentions. An address touches a word in it."""


@pytest.mark.parametrize(("text", "expected"), GLUED.items(), ids=ascii)
def test_a_name_next_to_an_address_is_found_without_it(read: Read, text: str, expected: Found) -> None:
    result = read[text]
    assert found(result) == expected
    addresses = [(word.start, word.end) for word in split_words(text) if end_of_address(word.text, 0)]
    for mention in [*result.mentions, *result.candidates]:
        assert not any(start < mention.end and mention.start < end for start, end in addresses)


AMPERSANDS = ["&amp;", "&AMP;", "&#38;", "&#038;", "&#x26;", "&amp;amp;", "&amp;#38;", "＆"]
APOSTROPHES = ["&#39;", "&#039;", "&#x27;", "&apos;", "&amp;#39;", "＇"]

WITH_ENTITIES = [
    ("{} opens a store in New York", "AT&T", "&", AMPERSANDS, "ORG"),
    ("{}'s new phone", "AT&T", "&", AMPERSANDS, "ORG"),
    ("I love #{} in New York", "AT&T", "&", AMPERSANDS, "ORG"),
    ("New dress from {}", "H&M", "&", AMPERSANDS, "ORG"),
    ("{} are the best", "M&Ms", "&", AMPERSANDS, "ORG"),
    ("{} beats Alabama", "Texas A&M", "&", AMPERSANDS, "ORG"),
    ("{} recalls powder", "Johnson & Johnson", "&", AMPERSANDS, "ORG"),
    ("{} opens in Leeds", "Marks & Spencer", "&", AMPERSANDS, "ORG"),
    ("{} is funny", "Conan O'Brien", "'", APOSTROPHES, "PER"),
    ("{} wins", "O'Brien", "'", APOSTROPHES, "PER"),
    ("{} in Paris", "Beyoncé", "é", ["&eacute;", "&#233;", "&#xE9;", "&amp;eacute;"], "PER"),
    ("{} in Berlin", "Angela Merkel", " ", ["&nbsp;", "&#160;", "&#xa0;", "\u00a0", "&ensp;"], "PER"),
    ("{} speaks", "Barack Obama", "B", ["&#66;", "&#x42;", "&amp;#66;"], "PER"),
]
"""Frame, name, character, spellings of the character, type of the name."""


def spelled(name: str, character: str, spellings: list[str]) -> list[str]:
    """Returns the name as it is, and with each spelling of the character."""
    return [name, *(name.replace(character, spelling, 1) for spelling in spellings)]


@pytest.mark.parametrize(("frame", "name", "character", "spellings", "type_"), WITH_ENTITIES, ids=ascii)
def test_a_name_with_an_entity_is_the_same_name(
    read: Read, frame: str, name: str, character: str, spellings: list[str], type_: str
) -> None:
    plain = read[frame.format(name)]
    for spelling in spelled(name, character, spellings):
        result = read[frame.format(spelling)]
        first = result.mentions[0]
        assert (first.text, first.type, first.start) == (spelling, type_, frame.index("{"))
        assert first.probability == pytest.approx(plain.mentions[0].probability, abs=2e-5)
        assert normalise(first.text) == normalise(name)
        assert len(result.mentions) == len(plain.mentions)
        assert result.typicality == plain.typicality


NOT_ONE_MENTION = {
    "H&amp;M in Berlin": "H&amp;M",
    "Mumford &amp; Sons live tonight": "Mumford &amp; Sons",
    "Simon &amp; Garfunkel live": "Simon &amp; Garfunkel",
    "at&amp;t is down again": "at&amp;t",
}
"""Text -> the name that should be one mention."""


@needs_training
@pytest.mark.parametrize(("text", "name"), NOT_ONE_MENTION.items())
def test_a_name_with_an_ampersand_is_one_mention(read: Read, text: str, name: str) -> None:
    assert name in [mention.text for mention in read[text].mentions]


BETWEEN: dict[str, Found] = {
    "I love Paris &amp; London": [*PARIS, ("London", "LOC")],
    "Paris&amp;London": [*PARIS, ("London", "LOC")],
    "Trump&amp;Putin meet": [("Trump", "PER"), ("Putin", "PER")],
    "&quot;Angela Merkel&quot;": MERKEL,
    "&lt;Angela Merkel&gt;": MERKEL,
    "Steph Curry &amp; LeBron James": [("Steph Curry", "PER"), ("LeBron James", "PER")],
}
"""Text -> its mentions."""


@pytest.mark.parametrize(("text", "expected"), BETWEEN.items())
def test_an_entity_between_names_is_in_neither(read: Read, text: str, expected: Found) -> None:
    assert found(read[text]) == expected


PLAIN = "🔥 {} in Berlin"

DRESSED = {
    "Angela Merkel": [
        "𝐀𝐧𝐠𝐞𝐥𝐚 𝐌𝐞𝐫𝐤𝐞𝐥",
        "𝑨𝒏𝒈𝒆𝒍𝒂 𝑴𝒆𝒓𝒌𝒆𝒍",
        "𝒜𝓃𝑔𝑒𝓁𝒶 𝑀𝑒𝓇𝓀𝑒𝓁",
        "𝔄𝔫𝔤𝔢𝔩𝔞 𝔐𝔢𝔯𝔨𝔢𝔩",
        "𝕬𝖓𝖌𝖊𝖑𝖆 𝕸𝖊𝖗𝖐𝖊𝖑",
        "𝔸𝕟𝕘𝕖𝕝𝕒 𝕄𝕖𝕣𝕜𝕖𝕝",
        "𝖠𝗇𝗀𝖾𝗅𝖺 𝖬𝖾𝗋𝗄𝖾𝗅",
        "𝙰𝚗𝚐𝚎𝚕𝚊 𝙼𝚎𝚛𝚔𝚎𝚕",
        "Ａｎｇｅｌａ　Ｍｅｒｋｅｌ",
        "Ⓐⓝⓖⓔⓛⓐ Ⓜⓔⓡⓚⓔⓛ",
        "Aɴɢᴇʟᴀ Mᴇʀᴋᴇʟ",
        "Аngela Мerkel",  # with Cyrillic capitals
    ],
    "ANGELA MERKEL": ["🅰🅽🅶🅴🅻🅰 🅼🅴🆁🅺🅴🅻", "ⒶⓃⒼⒺⓁⒶ ⓂⒺⓇⓀⒺⓁ", "𝐀𝐍𝐆𝐄𝐋𝐀 𝐌𝐄𝐑𝐊𝐄𝐋"],
    "angela merkel": ["ᴀɴɢᴇʟᴀ ᴍᴇʀᴋᴇʟ", "ⓐⓝⓖⓔⓛⓐ ⓜⓔⓡⓚⓔⓛ"],
}
"""Plain name -> the same name in fancy letters."""


@pytest.mark.parametrize(("plain", "name"), [(plain, name) for plain in DRESSED for name in DRESSED[plain]], ids=ascii)
def test_a_name_in_fancy_letters_is_the_plain_name(read: Read, plain: str, name: str) -> None:
    result, expected = read[PLAIN.format(name)], read[PLAIN.format(plain)]
    assert found(result) == [(name, "PER"), ("Berlin", "LOC")]
    assert [mention.start for mention in result.mentions] == [2, 2 + len(name) + 4]
    assert result.typicality == expected.typicality
    assert normalise(name) == "angela merkel"


WIDE_SIGNS: dict[str, Found] = {
    "ＡＴ＆Ｔ opens a store in New York": [("ＡＴ＆Ｔ", "ORG"), ("New York", "LOC")],
    "AT＆T opens a store in New York": [("AT＆T", "ORG"), ("New York", "LOC")],
    "Ｊｏｈｎｓｏｎ ＆ Ｊｏｈｎｓｏｎ recalls powder": [("Ｊｏｈｎｓｏｎ ＆ Ｊｏｈｎｓｏｎ", "ORG")],
    "＃Ｐａｒｉｓ": [("Ｐａｒｉｓ", "LOC")],
    "（Angela Merkel）": MERKEL,
    "Angela Merkel，Barack Obama": [*MERKEL, ("Barack Obama", "PER")],
    "Paris！https://t.co/abc": PARIS,
    "https://x.y/z＃Paris": PARIS,
}
"""Text -> its mentions."""


@pytest.mark.parametrize(("text", "expected"), WIDE_SIGNS.items(), ids=ascii)
def test_full_width_signs_are_read_as_plain_ones(read: Read, text: str, expected: Found) -> None:
    assert found(read[text]) == expected


FRAMES = ["{}", "RT @user: {} https://t.co/abc", "LOL {} so true", "Watching {} with Obama in Paris"]


@pytest.mark.parametrize("language", OTHER_SCRIPTS)
def test_other_scripts_give_no_confident_mention(read: Read, language: str) -> None:
    for result in [read[frame.format(post)] for frame in FRAMES for post in OTHER_SCRIPTS[language]]:
        assert [text for text, _ in confident(result) if not text.isascii()] == []
        assert result.typicality is not None


OTHER_LANGUAGES: dict[str, Found] = {
    "Angela Merkel hat heute in Berlin gesprochen": [*MERKEL, ("Berlin", "LOC")],
    "Donald Tusk przemawiał w Warszawie": [("Donald Tusk", "PER")],
    "Emmanuel Macron a parlé à Paris": [("Emmanuel Macron", "PER"), *PARIS],
    "İstanbul'da yağmur yağıyor": [("İstanbul", "LOC")],
    "Frohe Weihnachten und einen guten Rutsch": [],
    "Weiß jemand, wo man hier Brot kaufen kann?": [],
    "Bu akşam sinemaya kim geliyor?": [],
    "Çok yoruldum, uyumak istiyorum": [],
    "Otra vez está lloviendo": [],
    "Le chien dort sur le canapé": [],
    "Znowu pada deszcz": [],
    "Selamat tahun baru semua": [],
}
"""Text -> its confident mentions."""

TAKEN_FOR_A_NAME = [
    "RT @user: Gute Nacht, schlaft gut",
    "Buon Natale a tutti",
    "Veselé Vánoce",
    "Jó éjszakát",
    "Chào buổi sáng mọi người",
    "Good morning from Обичам кафе",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *OTHER_LANGUAGES.items(),
        *(pytest.param(text, [], marks=needs_training) for text in TAKEN_FOR_A_NAME),
    ],
    ids=ascii,
)
def test_other_languages_give_no_confident_nonsense(read: Read, text: str, expected: Found) -> None:
    assert confident(read[text]) == expected


def test_few_posts_without_names_in_other_languages_have_a_confident_mention(read: Read) -> None:
    posts = [*chain(*WITHOUT_NAMES.values())]
    assert sum(bool(confident(read[post])) for post in posts) <= 0.05 * len(posts)


SIGNS = [
    "🔥🔥🔥",
    "...",
    "…",
    "!!!",
    "?!?!",
    "#",
    "@",
    "####",
    "@@@@",
    "-",
    "__",
    "&",
    "&amp;",
    "&lt;3",
    "💯",
    "👨\u200d👩\u200d👧",
    "👍🏽👍🏽",
    "🇩🇪",
    "🇩🇪🇫🇷",
    "🏴\U000e0067\U000e0062\U000e007f",
    "1️⃣2️⃣",
    "#️⃣",
    "©®™",
    "♥ ♥ ♥",
    "★★★",
    "→→→",
    "¯\\_(ツ)_/¯",
    "( ͡° ͜ʖ ͡°)",
    "ʕ•ᴥ•ʔ",
    "ಠ_ಠ",
    "<3 <3",
    ":-) :-(",
    "42",
    "8====D",
    "⠀",
    "https://t.co/abc",
    "http://",
    "www.",
    "🔥https://t.co/abc🔥",
    "$$$",
    "%",
    "100%",
    "+1",
    "^^",
    "~*~*~",
    "Ⓜ️",
    "½",
    "（）！？",
]
NOTHING = [" ", " \n\t ", "\u200b", "&nbsp;", "&#8203;", "\u2060\ufeff", "\u200e\u200f", "\u3000", "\ufffd", "\u0301"]
"""Blanks, what nobody sees, and what the encoder's vocabulary drops."""


@pytest.mark.parametrize("text", SIGNS, ids=ascii)
def test_signs_alone_have_a_typicality_and_no_mention(read: Read, text: str) -> None:
    result = read[text]
    assert result.typicality is not None
    assert 0 < result.typicality <= 1
    assert (result.mentions, result.candidates, result.read) == ([], [], True)


@pytest.mark.parametrize("text", NOTHING, ids=ascii)
def test_a_post_without_anything_to_read_has_neither(read: Read, text: str) -> None:
    assert read[text] == Extracted([], [], None)


def test_every_post_is_read_alone_as_in_a_batch(extractor: Extractor, read: Read) -> None:
    for text in [*list(GLUED)[::8], *list(WIDE_SIGNS)[::3], *TAKEN_FOR_A_NAME[-2:], *SIGNS[::12], *NOTHING[-2:]]:
        (alone,), batched = extractor.extract_all([Tweet(id="1", text=text)]), read[text]
        assert found(batched) == found(alone)
        for first, second in zip(batched.mentions, alone.mentions, strict=True):
            assert (first.start, first.end) == (second.start, second.end)
            assert first.probability == pytest.approx(second.probability, abs=2e-5)


def all_texts() -> set[str]:
    return {
        *GLUED,
        *(
            frame.format(spelling)
            for frame, name, character, spellings, _ in WITH_ENTITIES
            for spelling in spelled(name, character, spellings)
        ),
        *NOT_ONE_MENTION,
        *BETWEEN,
        *(PLAIN.format(name) for name in chain(DRESSED, *DRESSED.values())),
        *WIDE_SIGNS,
        *(frame.format(post) for frame in FRAMES for post in chain(*OTHER_SCRIPTS.values())),
        *chain(*WITHOUT_NAMES.values()),
        *OTHER_LANGUAGES,
        *TAKEN_FOR_A_NAME,
        *SIGNS,
        *NOTHING,
    }
