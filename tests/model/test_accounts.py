"""User names are accounts: found in the text alone, and never a mention."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.events import MAX_TEXT, Extraction, Tweet
from core.spelling import SIGNS
from model.accounts import accounts_in
from model.extractor import Extractor
from model.tokens import Encoded, TweetTokenizer, marked

CASES = [
    pytest.param("@realDonaldTrump met Angela Merkel", ["@realDonaldTrump"], id="before a blank"),
    pytest.param("RT @a_b: hi, .@c, (@d) “@e” @f's", ["@a_b", "@c", "@d", "@e", "@f"], id="punctuation around it"),
    pytest.param("-@g w/@h 3/@i", ["@g", "@h", "@i"], id="behind a dash or slash"),
    pytest.param("RT@foo xRT@foo", ["@foo"], id="a repost"),
    pytest.param("ada@b.org a.b+c-@mail.com a@b", [], id="an e-mail address"),
    pytest.param("https://medium.com/@user/x www.a.com/@b medium.com/@user", [], id="an address"),
    pytest.param("http://x.y/@a) @b/@c", ["@b", "@c"], id="behind an address"),
    pytest.param("@https://x.y", [], id="before an address"),
    pytest.param(
        "@ada@mastodon.social: @a.b-c@x.xn--p1ai, @ada@home",
        ["@ada@mastodon.social", "@a.b-c@x.xn--p1ai"],
        id="a server",
    ),
    pytest.param("@jay.bsky.social. @bob.He left @a.", ["@jay.bsky.social", "@bob", "@a"], id="a host"),
    pytest.param("@100 @5pm @_@ @___ @@x @ home @", ["@5pm"], id="no letter"),
    pytest.param("f*@k sh!@t $@x &amp;@y &lt;@z&gt;", ["@y", "@z"], id="behind a sign"),
    pytest.param(
        "＠nhk @NHKのニュース ありがとう@name @東京 @हिन्दी, @José",
        ["＠nhk", "@NHK", "@name", "@東京", "@हिन्दी", "@José"],
        id="scripts",
    ),
    pytest.param("@" + "x" * 300, [], id="too long"),
    pytest.param("no name", [], id="none"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_an_account_is_what_platforms_take_for_one(text: str, expected: list[str]) -> None:
    assert [text[account.start : account.end] for account in accounts_in(text)] == expected


def test_the_name_is_in_lower_case_without_its_sign() -> None:
    names = [account.name for account in accounts_in("@NASA ＠Nasa @Ada@Mastodon.Social @Jose\u0301 @JOSÉ")]
    assert names == ["nasa", "nasa", "ada@mastodon.social", "jose", "josé"]


PIECES = st.sampled_from(
    [
        "@",
        "＠",
        "@a",
        "@B_c",
        "a@b.com",
        "https://x.y/@z",
        "www.",
        "RT",
        ".",
        ":",
        "/",
        "-",
        "_",
        "é",
        "東",
        "\u0301",
        " ",
        "\n",
        "&amp;",
        "1",
    ]
)
TEXTS = st.text(max_size=60) | st.lists(PIECES | st.characters(), max_size=20).map("".join)


@given(TEXTS)
def test_accounts_of_any_text_stand_in_order_and_do_not_depend_on_what_stands_around_it(text: str) -> None:
    found = accounts_in(text)
    end = 0
    for account in found:
        assert end <= account.start < account.start + 1 < account.end <= len(text)
        assert text[account.start] in SIGNS
        assert account.name
        end = account.end
    around = accounts_in(f"@x {text} @y")
    assert [(each.start - 3, each.end - 3, each.name) for each in around[1:-1]] == [
        (each.start, each.end, each.name) for each in found
    ]


def post(text: str) -> Tweet:
    return Tweet(id="1", text=text)


def found_in(extractor: Extractor, text: str) -> tuple[list[str], list[str]]:
    """Returns the accounts and the mentions."""
    (extracted,) = extractor.extract_all([post(text)])
    accounts = [text[account.start : account.end] for account in extracted.accounts]
    return accounts, [mention.text for mention in extracted.mentions]


TRUMP = "@realDonaldTrump met Angela Merkel"


def test_a_user_name_is_an_account_and_no_mention(extractor: Extractor) -> None:
    assert found_in(extractor, TRUMP) == (["@realDonaldTrump"], ["Angela Merkel"])
    (extracted,) = extractor.extract_all([post(TRUMP)])
    assert not any(candidate.start < extracted.accounts[0].end for candidate in extracted.candidates)


def test_a_setting_restores_what_the_corpora_label(extractor: Extractor) -> None:
    as_words = Extractor(extractor.tokenizer, extractor.predictor, "mention")
    assert found_in(as_words, TRUMP) == ([], ["realDonaldTrump", "Angela Merkel"])


def test_no_mention_goes_on_over_an_account(extractor: Extractor) -> None:
    for text in ("Angela @merkel Merkel", "New @york York City", "@New York", "Paris @Hilton", "@Angela_Merkel"):
        (extracted,) = extractor.extract_all([post(text)])
        for mention in (*extracted.mentions, *extracted.candidates):
            assert not any(mention.start < each.end and each.start < mention.end for each in extracted.accounts)


@given(text=TEXTS.filter(str.strip))
@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_mention_of_any_text_overlaps_an_account(extractor: Extractor, text: str) -> None:
    tweet = post(f"Paris {text} @nasa New York")
    if not tweet.has_words:
        return
    (extracted,) = extractor.extract_all([tweet])
    for mention in (*extracted.mentions, *extracted.candidates):
        assert not any(mention.start < each.end and each.start < mention.end for each in extracted.accounts)
    Extraction(tweet=tweet, accounts=tuple(extracted.accounts), model="m", model_version=1, threshold=0.5)


def test_how_typical_a_post_is_does_not_depend_on_what_user_names_are(extractor: Extractor) -> None:
    as_words = Extractor(extractor.tokenizer, extractor.predictor, "mention")
    texts = [TRUMP, "@a", "#NBA finals @nba", "no name"]
    typical = [[each.typicality for each in one.extract_all(list(map(post, texts)))] for one in (extractor, as_words)]
    assert typical[0] == typical[1]


def test_an_account_is_read_like_other_words(tokenizer: TweetTokenizer) -> None:
    text = "@ada met @bob_b"
    plain, marked = tokenizer.encode(text, None), tokenizer.encode(text, None, accounts_in(text))
    assert plain.in_account == ()
    assert (marked.text, marked.heads, marked.spans) == (plain.text, plain.heads, plain.spans)
    assert [
        text[start:end] for (start, end), inside in zip(marked.spans, marked.in_account, strict=True) if inside
    ] == [
        "ada",
        "bob",
        "_",
        "b",
    ]
    assert tokenizer.encode("Paris", None, ()) == tokenizer.encode("Paris", None)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("piece", ["今日は東京で会議がありました。", "www", "a-", "a.", "@a ", "@a", "@a.b/"])
def test_the_work_is_linear_in_the_length(piece: str) -> None:
    """Ten times the longest text. A search that begins again at each character of a run takes 15 minutes."""
    length = 10 * MAX_TEXT
    text = (piece * length)[:length]
    accounts = accounts_in(text)
    spans = tuple((start, start + 1) for start in range(0, length, 3))
    encoded = Encoded((1,) * len(spans), (0,) * len(spans), None, tuple(range(len(spans))), spans)
    assert any(marked(encoded, accounts).in_account) == bool(accounts)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("@ＮＡＳＡ and @𝐍𝐀𝐒𝐀", ["nasa", "nasa"], id="plain letters"),
        pytest.param("RT @ada: so said @realDon…", ["ada"], id="a name that was cut"),
        pytest.param("RT @ada: so said @realDon...", ["ada"], id="a name that was cut by dots"),
        pytest.param("ask @ada…or not", ["ada"], id="no cut within a text"),
    ],
)
def test_the_name_of_an_account(text: str, names: list[str]) -> None:
    assert [account.name for account in accounts_in(text)] == names
