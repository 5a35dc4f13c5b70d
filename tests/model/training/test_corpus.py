"""Reading the published layout, and the errors about broken files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from core.errors import UserError
from core.events import Tweet
from core.terms import Sources, Terms
from model.conll import lines, quoted, unquoted
from model.context import context_text
from model.training.annotation import OPEN, TYPES
from model.training.corpus import (
    Example,
    as_auxiliary,
    folders,
    legal,
    read,
    read_captions,
    split_file,
    split_files,
    without_leaks,
)
from model.training.permission import Permission
from model.vision.values import Tag, TextLine, VisualContext

TWEET = "IMGID:1\nParis\tB-LOC\n,\tO\nOlympics\tB-OTHER\n\n"
Write = Callable[[str], Path]


def test_words_tags_and_captions_of_each_tweet(corpus_folder: Write) -> None:
    examples = read(corpus_folder(TWEET + "IMGID:2\n#\tO\nNBA\tB-ORG\n"), {"1": "a tower"})
    assert examples == [
        Example("1", ("Paris", ",", "Olympics"), ("B-LOC", "O", "B-MISC"), "a tower"),
        Example("2", ("#", "NBA"), ("O", "B-ORG"), None),
    ]


def test_sets_without_images_blanks_that_are_tagged_and_the_types_of_wnut(corpus_folder: Write) -> None:
    content = "Nokia\tB-corporation\n \tO\nlaunches\tO\n\t\nInception\tB-creative-work\n"
    assert read(corpus_folder(content)) == [
        Example("#1", ("Nokia", "launches"), ("B-ORG", "O")),
        Example("#2", ("Inception",), ("B-MISC",)),
    ]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param(["valid.txt", "other.dev"], "valid.txt", id="the usual name comes first"),
        pytest.param(["btc.train", "btc.dev", "btc.test"], "btc.dev", id="Broad Twitter Corpus"),
        pytest.param(["wnut17train.conll", "emerging.dev.conll"], "emerging.dev.conll", id="WNUT-17"),
        pytest.param(["a.dev", "b.dev"], None, id="two"),
        pytest.param(["a.test"], None, id="none"),
    ],
)
def test_the_file_of_a_split_is_found_by_its_name(tmp_path: Path, names: list[str], found: str | None) -> None:
    for name in names:
        (tmp_path / name).touch()
    if found:
        assert split_file(tmp_path, "valid").name == found
    else:
        with pytest.raises(
            UserError, match=r"needs valid\.txt or one file with dev in its name; found (a\.dev, b|none)"
        ):
            split_file(tmp_path, "valid")


def test_a_file_without_tabs_has_blanks_between_word_and_tag(corpus_folder: Write) -> None:
    assert read(corpus_folder("New I-LOC\nYork I-LOC\n. O\n\nBo I-PER\n")) == [
        Example("#1", ("New", "York", "."), ("I-LOC", "I-LOC", "O")),
        Example("#2", ("Bo",), ("I-PER",)),
    ]


def test_lines_between_the_documents_of_a_file_are_no_posts(corpus_folder: Write) -> None:
    examples = read(corpus_folder("-DOCSTART- O\n\nBo I-PER\n\n-DOCSTART- -X- O\n\nRome I-LOC\n"))
    assert [(each.id, each.words) for each in examples] == [("#1", ("Bo",)), ("#2", ("Rome",))]


def test_what_may_be_its_publisher_is_left_open() -> None:
    assert TYPES["academicjournal"] is None
    assert TYPES["magazine"] is None


def test_words_of_types_without_a_counterpart_are_open_and_never_measured(corpus_folder: Write) -> None:
    file = corpus_folder("Merkel\tB-politician\nreads\tO\npop\tB-musicgenre\nmusic\tI-musicgenre\n")
    (example,) = read(file, may_be_open=True)
    assert example.tags == ("B-PER", "O", OPEN, OPEN)
    assert as_auxiliary([example])[0].tags == example.tags
    with pytest.raises(UserError, match=r":3: B-musicgenre is none of PER, .*not measured on"):
        read(file)


def test_a_type_that_a_corpus_uses_in_another_sense_is_left_open() -> None:
    wiki = Example("1", ("Japanese", "in", "Rome"), ("I-MISC", "O", "I-LOC"), data="wiki")
    other = replace(wiki, data="other")
    first, second = as_auxiliary([wiki, other], {"wiki": ["MISC"]})
    assert (first.tags, second.tags) == ((OPEN, "O", "B-LOC"), ("B-MISC", "O", "B-LOC"))
    assert [each.unannotated for each in (first, second)] == [{"PER", "ORG", "MISC"}, {"PER", "ORG"}]


def test_one_file_alone_is_a_training_split(tmp_path: Path) -> None:
    (tmp_path / "wiki.txt").touch()
    assert split_files(tmp_path) == {"train": tmp_path / "wiki.txt"}
    for name in ("train.txt", "dev.txt", "test.txt"):
        (tmp_path / name).touch()
    assert split_files(tmp_path)["valid"].name == "dev.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(TWEET + "IMGID:2\nParis B-LOC\n", ":7: expected `word<TAB>tag`, got 'Paris B-LOC'", id="no tab"),
        pytest.param("Bo O\nParis\n", ":2: expected `word tag`, since no line has a tab; got 'Paris'", id="no blank"),
        pytest.param("IMGID:1\nParis\tB-CITY\n", ":2: unknown tag 'B-CITY'", id="unknown type"),
        pytest.param("IMGID:1\nParis\tE-LOC\n", ":2: unknown tag 'E-LOC'", id="another tagging scheme"),
        pytest.param("\n\n", ": contains no posts", id="empty"),
    ],
)
def test_a_broken_file_is_named_with_its_line(corpus_folder: Write, content: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(corpus_folder(content))
    assert f"train.txt{message}" in str(error.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "test.txt")
    (tmp_path / "train.txt").write_bytes(b"Paris\xff\tO\n")
    with pytest.raises(UserError, match="not UTF-8 at byte 5"):
        read(tmp_path / "train.txt")


def test_a_folder_without_data_sets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train\.txt"):
        folders(tmp_path)


def test_captions_are_those_of_the_folders_set(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text('{"set": "2015", "img": "1", "caption": "a"}\n{"set": "2017", "img": "1", "caption": "b"}\n')
    assert read_captions(path, "twitter2017") == {"1": "b"}
    path.write_text('{"set": "2017", "image": "1"}\n')
    with pytest.raises(UserError, match=r"captions\.jsonl:1: expected .*: img: Field required"):
        read_captions(path, "twitter2017")


def test_tags_and_text_are_joined_to_the_caption_as_on_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    lines: list[dict[str, object]] = [
        {"set": 2017, "img": 1, "caption": "a man on stage", "tags": ["microphone", "red guitar"], "text": "LIVE 8"},
        {"set": 2017, "img": "2", "tags": ["car"]},
        {"set": 2017, "img": "3", "caption": ""},
        {"set": None, "img": "4", "caption": None, "tags": []},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read_captions(path, "twitter2017") == {"1": "a man on stage . microphone, red guitar . LIVE 8", "2": "car"}
    tags = tuple(Tag(label=label, score=1) for label in ("microphone", "red guitar"))
    line = TextLine(text="LIVE 8", score=1, box=((0, 0), (1, 0), (1, 1), (0, 1)))
    visual = VisualContext(caption="a man on stage", tags=tags, lines=(line,))
    assert context_text(Tweet(id="1", text="x"), visual) == read_captions(path, "twitter2017")["1"]
    path.write_text('{"set": "2017", "img": "4"}\n')
    with pytest.raises(UserError, match=r"captions\.jsonl:1: expected .*: none of caption, tags, text"):
        read_captions(path, "twitter2017")


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(["I-PER", "I-PER", "O"], id="begins inside"),
        pytest.param(["B-PER", "I-LOC", "I-LOC"], id="changes type inside"),
        pytest.param(["B-PER", "I-PER", "B-PER", "O", "I-ORG"], id="neighbours"),
    ],
)
def test_illegal_tags_become_the_mentions_that_seqeval_reads(tags: list[str]) -> None:
    mended = legal(tags)
    assert get_entities(mended) == get_entities(tags)
    assert all(tag[0] != "I" or mended[i - 1][2:] == tag[2:] for i, tag in enumerate(mended) if i or tag[0] == "I")
    assert mended[0][0] != "I"


def test_types_that_an_auxiliary_corpus_never_marks_are_unannotated_and_its_lone_signs_no_mentions() -> None:
    tweets = [
        Example("1", ("@", "ann", "in", "rome"), ("B-PER", "B-PER", "O", "B-LOC")),
        Example("2", ("A", "&", "B", "!", "@", "x"), ("B-ORG", "I-ORG", "I-ORG", "B-ORG", "I-LOC", "I-LOC")),
    ]
    first, second = as_auxiliary(tweets)
    assert first.tags == ("O", "B-PER", "O", "B-LOC")
    assert second.tags == ("B-ORG", "I-ORG", "I-ORG", "O", "B-LOC", "I-LOC"), "signs within a mention stay"
    assert first.unannotated == second.unannotated == {"MISC"}
    (signs,) = as_auxiliary([Example("1", ("!", "!", "x"), ("B-MISC", "I-MISC", "B-PER"))])
    assert signs.tags == ("O", "O", "B-PER")
    assert signs.unannotated == {"LOC", "ORG", "MISC"}, "marked on signs alone is not marked"
    whole = Example("1", ("x",) * 4, ("B-PER", "B-LOC", "B-ORG", "B-MISC"), data="whole")
    assert [each.unannotated for each in as_auxiliary([whole, tweets[0]])] == [frozenset(), {"ORG", "MISC"}], (
        "each by itself"
    )


def test_training_posts_that_are_also_held_out_are_dropped_whatever_their_case_and_urls() -> None:
    held_out = Example("1", ("Paris", "!", "http://t.co/a"), ("O",) * 3)
    same = Example("2", ("paris", "!!", "http://t.co/b"), ("O",) * 3)
    other = Example("3", ("Paris", "Hilton"), ("O",) * 2)
    assert without_leaks([same, other], [held_out]) == [other]


@pytest.mark.parametrize(("folder", "support"), [("twitter2015", 5207), ("twitter2017", 1351)])
def test_the_published_test_sets_have_the_published_number_of_mentions(
    data_sets: Path, folder: str, support: int
) -> None:
    examples = read(data_sets / folder / "test.txt")
    assert sum(len(get_entities(list(example.tags))) for example in examples) == support


@pytest.mark.parametrize(
    ("folder", "split", "mentions"),
    [("btc/train_dev_test_conll", "test", 4376), ("wnut17", "valid", 836), ("wnut17", "train", 1975)],
)
def test_the_other_published_sets_are_read_whole(data_sets: Path, folder: str, split: str, mentions: int) -> None:
    examples = read(split_file(data_sets / "ner" / folder, split))
    assert sum(tag[0] == "B" for example in examples for tag in example.tags) == mentions


@pytest.mark.parametrize(("folder", "posts"), [("wikigold", 1696), ("crossner/politics", 1392)])
def test_the_sets_from_wikipedia_are_read_whole(data_sets: Path, folder: str, posts: int) -> None:
    files = split_files(data_sets / "ner" / folder).values()
    assert sum(len(read(file, may_be_open=True)) for file in files) == posts


FREE, BOUND = (Terms(may_train=may, may_show_text=True, delete_within_hours=24) for may in (True, False))
SOURCES = Sources({"file": FREE, "x": BOUND})


def test_a_file_that_names_a_source_is_obeyed_post_by_post(corpus_folder: Write) -> None:
    named = "# id 7\n# source file:mine\nParis\tB-LOC\n\n# id 8\n# source x\nRome\tB-LOC\n\nOslo\tB-LOC\n"
    permission = Permission(SOURCES)
    examples = read(corpus_folder(named), permission=permission)
    assert [(example.id, example.words, example.source) for example in examples] == [("7", ("Paris",), "file:mine")]
    assert permission.summary() == (
        "2 posts are skipped, by the terms of their sources: 1 of 'unknown' may not train, 1 of 'x' may not train"
    )


def test_a_file_that_names_no_source_is_used_whole(corpus_folder: Write) -> None:
    permission = Permission(SOURCES)
    assert len(read(corpus_folder(TWEET + "# id 8\nRome\tB-LOC\n"), permission=permission)) == 2
    assert permission.summary() == ""


def test_a_file_of_which_nothing_is_left_is_refused(corpus_folder: Write) -> None:
    for permission in (Permission(SOURCES), None):
        with pytest.raises(UserError, match="no post is left: 1 of 'x' may not train, by the terms"):
            read(corpus_folder("# source x\nRome\tB-LOC\n"), permission=permission)


def test_a_source_belongs_to_one_post_only(corpus_folder: Write) -> None:
    """The first post has no words. Its terms must not become those of the next one."""
    permission = Permission(SOURCES)
    read(corpus_folder("# source file\n\nRome\tB-LOC\n\n# source file\nOslo\tB-LOC\n"), permission=permission)
    assert permission.skipped == {"unknown": 1}


def test_words_that_look_like_comments_are_words(corpus_folder: Write) -> None:
    (example,) = read(corpus_folder("IMGID:1\nIMGID:2\tO\n# source x\tO\n"))
    assert (example.id, example.words, example.source) == ("1", ("IMGID:2", "# source x"), None)


@pytest.mark.parametrize("value", ["x", "mastodon:a.example", 'a "b"', "file\n", " file", "\u2028", '"', "\\", "é"])
def test_a_value_of_a_comment_line_is_read_as_it_was(value: str) -> None:
    assert unquoted(quoted(value)) == value
    assert quoted(value).isprintable()


@pytest.mark.parametrize(
    ("text", "mentions", "words", "tags"),
    [
        ("Ana met Bo Li.", [(0, 3, "PER"), (8, 13, "PER")], "Ana met Bo Li .", "B-PER O B-PER I-PER O"),
        ("Ana Bo", [(0, 3, "PER"), (4, 6, "PER")], "Ana Bo", "B-PER B-PER"),
        ("in #Paris\n\tnow", [(4, 9, "LOC")], "in # Paris now", "O O B-LOC O"),
        ("Parisian", [(0, 5, "LOC")], "Paris ian", "B-LOC O"),
        ("AT&amp;T", [(0, 8, "ORG")], "AT & T", "B-ORG I-ORG I-ORG"),
        ("🗼", [], "🗼", "O"),
    ],
)
def test_an_exported_post_is_read_as_it_was(
    corpus_folder: Write, text: str, mentions: list[tuple[int, int, str]], words: str, tags: str
) -> None:
    spans = [{"start": start, "end": end, "type": kind} for start, end, kind in reversed(mentions)]
    (example,) = read(corpus_folder(lines("at://did:x/1", "file", 2, text, spans)), permission=Permission(SOURCES))
    assert (example.id, example.source) == ("at://did:x/1", "file")
    assert (example.words, example.tags) == (tuple(words.split()), tuple(tags.split()))


def test_a_post_without_words_has_no_lines() -> None:
    assert lines("1", "file", 0, " \u200d\n", []) == ""
