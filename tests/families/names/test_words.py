"""Addresses end where people and platforms end them, and letters in fancy dress are read as letters."""

from __future__ import annotations

import time

import pytest

from model.words import split_words

ADDRESSES = {
    "Londonhttps://t.co/x": ["London", "https://t.co/x"],
    "London:https://t.co/x": ["London", ":", "https://t.co/x"],
    "London-https://t.co/x": ["London", "-", "https://t.co/x"],
    "東京https://t.co/x": ["東京", "https://t.co/x"],
    "3https://t.co/x": ["3", "https://t.co/x"],
    "Londonwww.x.com": ["London", "www.x.com"],
    "Londonwww.x.com/y": ["London", "www.x.com/y"],
    "Londonpic.twitter.com/x": ["London", "pic.twitter.com/x"],
    "Londonhttps:/…": ["London", "https:/…"],
    "Londonhttps… ": ["London", "https…"],
    "Londonhtt…": ["London", "htt…"],
    "Londonhttp:": ["London", "http:"],
    "Londonhttp...": ["London", "http", ".", ".", "."],
    "Londonhttp": ["London", "http"],
    "https://t.co/ahttps://t.co/b": ["https://t.co/a", "https://t.co/b"],
    "https://t.co/ahttps:/…": ["https://t.co/a", "https:/…"],
    "https://t.co/AbCdEfGhIjLondon": ["https://t.co/AbCdEfGhIj", "London"],
    "https://x.y/z,Hamburg": ["https://x.y/z", ",", "Hamburg"],
    "https://x.y/z, Hamburg": ["https://x.y/z", ",", "Hamburg"],
    "https://x.y,Hamburg": ["https://x.y", ",", "Hamburg"],
    "https://x.y/z;Hamburg": ["https://x.y/z", ";", "Hamburg"],
    "https://x.y/z!Hamburg": ["https://x.y/z", "!", "Hamburg"],
    "https://x.y/z|Hamburg": ["https://x.y/z", "|", "Hamburg"],
    "https://x.y/z，Hamburg": ["https://x.y/z", "，", "Hamburg"],
    "https://x.y/z。東京": ["https://x.y/z", "。", "東京"],
    "https://x.y/z、東京": ["https://x.y/z", "、", "東京"],
    "https://x.y/z東京": ["https://x.y/z", "東京"],
    "https://t.co/xを見て": ["https://t.co/x", "を見て"],
    "https://x.y/z「Hamburg」": ["https://x.y/z", "「", "Hamburg", "」"],
    "https://x.y/z—Hamburg": ["https://x.y/z", "—", "Hamburg"],
    "https://x.y/z🗼Paris": ["https://x.y/z", "🗼", "Paris"],
    "https://x.y/z…Hamburg": ["https://x.y/z", "…", "Hamburg"],
    "https://x.y/z...Hamburg": ["https://x.y/z", ".", ".", ".", "Hamburg"],
    "https://x.y/z\u200bHamburg": ["https://x.y/z", "Hamburg"],
    "https://x.y/z\u00a0Hamburg": ["https://x.y/z", "Hamburg"],
    "https://x.y/z&nbsp;Hamburg": ["https://x.y/z", "Hamburg"],
    "https://x.y/z&lt;Hamburg&gt;": ["https://x.y/z", "&lt;", "Hamburg", "&gt;"],
    "https://t.co/x-Hamburg": ["https://t.co/x", "-", "Hamburg"],
    "https://t.co/x.Hamburg": ["https://t.co/x", ".", "Hamburg"],
    "https://t.co/x'Hamburg'": ["https://t.co/x", "'", "Hamburg", "'"],
    "(https://x.y/z)": ["(", "https://x.y/z", ")"],
    "(https://x.y/a_(b))": ["(", "https://x.y/a_(b)", ")"],
    "[https://x.y/z](Hamburg)": ["[", "https://x.y/z", "]", "(", "Hamburg", ")"],
    "“https://x.y/z”": ["“", "https://x.y/z", "”"],
    "<https://x.y/z>": ["<", "https://x.y/z", ">"],
    "https://x.y/z.": ["https://x.y/z", "."],
    "https://x.y/z?!": ["https://x.y/z", "?", "!"],
    "https://x.y/z's": ["https://x.y/z", "'", "s"],
    "bit.ly/2x.": ["bit.ly/2x", "."],
    "pic.twitter.com/AbC": ["pic.twitter.com/AbC"],
    "info@hamburg.de": ["info@hamburg.de"],
    "info@hamburg.de,Berlin": ["info@hamburg.de", ",", "Berlin"],
}
"""Text -> its words. The address ends where the next word begins."""

WHOLE = [
    "https://www.spiegel.de/politik/0,1518,12,00.html",
    "https://tvn24.pl/wiadomosci/foo-x,123,s.html",
    "https://en.wikipedia.org/wiki/Paris_(Texas)",
    "https://ja.wikipedia.org/wiki/東京",
    "https://x.y/z?q=a,b&amp;c=1#top",
    "https://x.y/Zürich",
    "http://münchen.de/straße",
    "https://user:pass@x.y:8080/a+b%20c;d=1/~e/@f!g",
    "http://[::1]/x",
    "HTTPS://T.CO/X",
    "http://t.co/8o…",
    "http:…",
    "https://web.archive.org/web/2010/http://x.y/z",
    "https://x.y/../z",
]

NO_ADDRESSES = {
    "awww.so cute": ["awww", ".", "so", "cute"],
    "Amazon.com": ["Amazon", ".", "com"],
    "and/or w/ km/h": ["and", "/", "or", "w", "/", "km", "/", "h"],
    "St.Louis/Paris": ["St", ".", "Louis", "/", "Paris"],
    "@name@mastodon.social": ["@", "name", "@", "mastodon", ".", "social"],
    "http Hamburg": ["http", "Hamburg"],
    "libhttp is a nighttime epic": ["libhttp", "is", "a", "nighttime", "epic"],
}

LETTERS = {
    "𝐏𝐚𝐫𝐢𝐬 𝟚𝟘𝟚𝟞": ["Paris", "2026"],
    "Ｐａｒｉｓ": ["Paris"],
    "ⓟⓐⓡⓘⓢ": ["paris"],
    "🅿🅰🆁🅸🆂": ["PARIS"],
    "🄿🄰🅁🄸🅂": ["PARIS"],
    "🇵🇦🇷🇮🇸": ["PARIS"],
    "Pᴀʀɪs": ["Paris"],
    "ᴾᵃʳⁱˢ": ["Paris"],
    "⒫⒜⒭⒤⒮": ["paris"],
    "🅿️🅰️🆁🅸🆂": ["P\ufe0fA\ufe0fRIS"],
    "🅱️aris": ["B\ufe0faris"],
    "Pаrіs": ["Paris"],  # with Cyrillic letters
    "Νew Υork": ["New", "York"],  # with Greek ones
    "ﬁne Oﬃce": ["fine", "Office"],
    "Louis Ⅷ": ["Louis", "VIII"],
    "🅱aris": ["Baris"],
    "#𝐍𝐁𝐀": ["#", "NBA"],
    "＃Paris": ["#", "Paris"],
    "𝐀𝐓&amp;𝐓": ["AT", "&", "T"],
    "ＡＴ＆Ｔ": ["AT", "&", "T"],
    "O＇Brien（Ｐａｒｉｓ）": ["O", "'", "Brien", "(", "Paris", ")"],
    "Ｓａｉｎｔ－Ｄｅｎｉｓ １０，０００": ["Saint-Denis", "10,000"],
    "AT&amp;amp;T": ["AT", "&", "T"],
    "Ham&shy;burg": ["Ham\u00adburg"],
    # symbols, numbers and other scripts are read as they stand
    "🇩🇪 🇫🇷🇩🇪": ["🇩", "🇪", "🇫", "🇷", "🇩", "🇪"],
    "Ⓜ 🅿 Ⓜ️": ["Ⓜ", "🅿", "Ⓜ️"],
    "Москва СССР Αθήνα iPhoneов": ["Москва", "СССР", "Αθήνα", "iPhoneов"],
    "NikeⓇ": ["Nike", "Ⓡ"],
    "5㎏ x² ½ ™": ["5", "㎏", "x²", "½", "™"],
    "ㅋㅋㅋ ｱｲ": ["ㅋㅋㅋ", "ｱｲ"],
}
"""Text -> what the encoder reads of each word."""


@pytest.mark.parametrize(("text", "expected"), [*ADDRESSES.items(), *NO_ADDRESSES.items()], ids=ascii)
def test_an_address_ends_where_a_person_ends_it(text: str, expected: list[str]) -> None:
    assert [text[word.start : word.end] for word in split_words(text)] == expected


@pytest.mark.parametrize("address", WHOLE, ids=ascii)
def test_an_address_is_one_word(address: str) -> None:
    text = f"see {address} now"
    assert [text[word.start : word.end] for word in split_words(text)] == ["see", address, "now"]


@pytest.mark.parametrize(("text", "expected"), LETTERS.items(), ids=ascii)
def test_letters_that_stand_for_letters_are_read_as_these(text: str, expected: list[str]) -> None:
    assert [word.text for word in split_words(text)] == expected


@pytest.mark.parametrize(
    "unit",
    ["a.", "a@", "h", "https://", "www.", "&amp;", "&semi", "[a", "x.com/", "🅿", "🇩", "ﷺ", "https://x.y/(", "\u0301"],
    ids=ascii,
)
def test_the_longest_post_is_split_in_a_moment(unit: str) -> None:
    started = time.process_time()
    split_words((unit * 25_000)[:25_000])
    assert time.process_time() - started < 3
