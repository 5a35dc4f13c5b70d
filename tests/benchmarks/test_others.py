"""The comparison with CoreNLP and spaCy, without either: what is asked, read, mapped, scored and shown."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import corenlp, others
from benchmarks.corenlp import fetch, tags
from benchmarks.line_process import LineProcess
from benchmarks.others import Ours, System, compared, data_sets
from benchmarks.others_report import Figures, Report, Scores, scored
from benchmarks.report import machine
from benchmarks.run import Wrong
from benchmarks.spacy_ner import mapped
from core.errors import UserError
from model.checkpoint import describe
from model.mentions import Prediction, Span
from model.training.corpus import Example
from streams.settings import CHECKPOINT

ANSWERED = """\
Ann	PERSON
Lee	PERSON
.	O

Acme	ORGANIZATION
,	O
Rome	LOCATION

50%	PERCENT

"""


def test_corenlps_answer_is_read_word_by_word_over_its_sentences() -> None:
    lines = iter(ANSWERED.split("\n"))
    assert tags(lines, ["Ann", "Lee", ".", "Acme", ",", "Rome"]) == ["I-PER", "I-PER", "O", "I-ORG", "O", "I-LOC"]
    assert tags(lines, ["50%"]) == ["O"]


def test_corenlps_answer_on_other_words_than_the_tweets_is_refused() -> None:
    with pytest.raises(Wrong, match="'Lee' for the word 'Leé'"):
        tags(iter(ANSWERED.split("\n")), ["Ann", "Leé"])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("B-PERSON", "B-PER"),
        ("I-GPE", "I-LOC"),
        ("B-LOC", "B-LOC"),
        ("I-FAC", "I-LOC"),
        ("B-ORG", "B-ORG"),
        ("B-NORP", "O"),
        ("I-WORK_OF_ART", "O"),
        ("O", "O"),
    ],
)
def test_spacys_types_are_mapped_and_others_dropped(theirs: str, ours: str) -> None:
    assert mapped(theirs) == ours


def test_only_three_types_count_and_an_inside_tag_may_begin_a_mention() -> None:
    gold = [["B-PER", "I-PER", "O", "B-MISC"], ["I-LOC", "O", "B-ORG", "O"]]
    found = [["I-PER", "I-PER", "O", "O"], ["B-LOC", "I-LOC", "B-MISC", "B-ORG"]]
    scores = scored(gold, found)
    assert scores.support == 3
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert scores.per_type == {"PER": 1.0, "LOC": 0.0, "ORG": 0.0}


ECHO = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"


def test_a_process_answers_questions_of_any_length_one_after_the_other() -> None:
    with LineProcess([sys.executable, "-c", ECHO]) as process:
        many = [f"w{number}" * 20 for number in range(20_000)]
        answers = process.ask(many)
        assert [next(answers) for _ in many] == [line.upper() for line in many]
        assert next(process.ask(["é"])) == "É"


def test_a_process_that_ends_says_why() -> None:
    with (
        LineProcess([sys.executable, "-c", "raise SystemExit('no such model')"]) as process,
        pytest.raises(Wrong, match="no such model"),
    ):
        next(process.ask(["a"] * 100_000))


def write(folder: Path, name: str, words: Sequence[str], image: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"IMGID:{image}"] if image else []
    (folder / name).write_text("\n".join([*lines, *(f"{word}\tO" for word in words), "", ""]))


def test_data_sets_are_found_at_any_depth_and_words_hold_no_blanks(tmp_path: Path) -> None:
    write(tmp_path / "set2017", "test.txt", ["Rome"], image="7")
    write(tmp_path / "ner" / "btc", "btc.test", ["😘 ", "New York"])
    captions = tmp_path / "captions.jsonl"
    captions.write_text(json.dumps({"set": "2017", "img": "7", "caption": "a street"}))
    splits = data_sets(tmp_path, captions)
    assert {name: [item.words for item in each] for name, each in splits.items()} == {
        "ner/btc": [("😘", "New_York")],
        "set2017": [("Rome",)],
    }
    assert [each[0].caption for each in splits.values()] == [None, "a street"]
    assert list(data_sets(tmp_path / "set2017", None)) == ["set2017"]


def test_a_data_set_with_other_types_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "set2017", "test.txt", ["Rome"])
    write(tmp_path / "fields", "test.txt", [])
    (tmp_path / "fields" / "test.txt").write_text("GPT\tB-algorithm\n\n")
    assert list(data_sets(tmp_path, None)) == ["set2017"]
    assert "fields/test.txt:1: B-algorithm is none of PER, LOC, ORG, MISC" in capsys.readouterr().err
    with pytest.raises(UserError, match="B-algorithm"):
        data_sets(tmp_path / "fields", None)


def test_a_folder_without_the_split_is_named(tmp_path: Path) -> None:
    write(tmp_path / "set2017", "train.txt", ["Rome"])
    with pytest.raises(UserError, match=r"no file there or below is named \*test\*"):
        data_sets(tmp_path, None)
    with pytest.raises(UserError, match=r"no file there or below is named valid\.txt or \*dev\*"):
        data_sets(tmp_path, None, "valid")
    with pytest.raises(UserError, match="--split train: choose test or valid"):
        data_sets(tmp_path, None, "train")


def test_validation_splits_are_found_by_either_name(tmp_path: Path) -> None:
    for folder, name in (("set2017", "valid.txt"), ("btc", "btc.dev"), ("other", "other.test")):
        write(tmp_path / folder, name, [folder])
    (tmp_path / "invalid_ids.json").write_text("[]")
    splits = data_sets(tmp_path, None, "valid")
    assert {name: [item.words for item in each] for name, each in splits.items()} == {
        "btc": [("btc",)],
        "set2017": [("set2017",)],
    }


def test_gold_mentions_of_signs_alone_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "btc.test").write_text("@\tB-PER\nann\tB-PER\nAT&T\tB-ORG\n\n")
    for signs, first in ((True, "B-PER"), (False, "O")):
        (tweets,) = data_sets(tmp_path, None, signs=signs).values()
        assert tweets[0].tags == (first, "B-PER", "B-ORG")


def test_ours_can_be_measured_without_the_other_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch() -> None:
        raise AssertionError("CoreNLP was asked for")

    monkeypatch.setattr(others, "fetch", fetch)
    words = "Steph\tB-PER\nCurry\tI-PER\nlands\tO\nin\tO\nParis\tB-LOC\n\n"
    (tmp_path / "valid.txt").write_text(words)
    wanted = tmp_path / "figures.json"
    others.command(tmp_path, split="valid", alone=True, rounds=1, json_to=wanted)
    told = json.loads(wanted.read_text())
    (ours,) = told["figures"]
    assert (told["split"], told["signs"]) == ("valid", True)
    named = f"ours ({describe(CHECKPOINT).name})"
    assert (ours["system"], ours["tweets"], ours["scores"]["support"]) == (named, 1, 2)
    assert 0 < ours["ece"] < 1


TWEETS = [Example(str(number), ("Ann", "here"), ("B-PER", "O"), "a woman") for number in range(3)]


class Fixed:
    """Answers with each of `answers` in turn; the first goes to the warm-up."""

    name, threads = "fixed", 1

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)

    def tag(self, tweets: Sequence[Example]) -> list[list[str]]:
        answer = next(self._answers)
        return [[answer, "O"] for _ in tweets]

    def calibration_error(self, tweets: Sequence[Example]) -> None:
        return None


def test_every_system_is_scored_and_timed_each_round() -> None:
    right, wrong = Fixed("O", "I-PER", "I-PER"), Fixed("O", "B-LOC", "B-LOC")
    wrong.name = "wrong"
    systems: list[System] = [right, wrong]
    first, second = compared(systems, "set", TWEETS, rounds=2)
    assert (first.scores.f1, second.scores.f1) == (1.0, 0.0)
    assert len(first.tweets_per_s) == 2
    assert (first.data, first.tweets, second.system) == ("set", 3, "wrong")


def test_a_system_whose_tags_differ_between_rounds_gives_no_figure() -> None:
    with pytest.raises(Wrong, match="fixed tagged set differently"):
        list(compared([Fixed("O", "B-PER", "O")], "set", TWEETS, rounds=2))


@pytest.mark.parametrize("captions", [False, True])
def test_ours_reads_captions_only_on_request(captions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loaded:
        predictor = tokenizer = None
        info = describe(CHECKPOINT)

    def predict(predictor: None, tokenizer: None, tweets: Sequence[Example], captions: bool) -> list[Prediction]:
        span = Span(0, 1, "PER" if captions else "LOC", 0.9, 0.1, 0.1, {})
        return [Prediction((span,)) for _ in tweets]

    monkeypatch.setattr(others, "predict", predict)
    ours = Ours(Loaded(), 1, captions=captions)  # type: ignore[arg-type]
    assert ours.tag(TWEETS[:1]) == [["B-PER" if captions else "B-LOC", "O"]]
    assert ours.calibration_error(TWEETS[:1]) == pytest.approx(0.1 if captions else 0.9)
    assert ours.name.endswith(", captions") == captions


def test_a_checkpoint_is_measured_in_each_runtime_that_it_has(tmp_path: Path) -> None:
    write(tmp_path, "valid.txt", ["Rome"])
    figures = tmp_path / "figures.json"
    folders = [CHECKPOINT, CHECKPOINT.with_name("checkpoint-fast")]
    others.command(tmp_path, split="valid", alone=True, checkpoints=folders, rounds=1, json_to=figures)
    small, fast = (f"ours ({describe(folder).name})" for folder in folders)
    assert [row["system"] for row in json.loads(figures.read_text())["figures"]] == [small, fast, f"{fast}, int8"]


def test_two_checkpoints_of_the_same_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "valid.txt", ["Rome"])
    with pytest.raises(UserError, match="--checkpoint: two are named minilm-evidential-3"):
        others.command(tmp_path, split="valid", alone=True, checkpoints=[CHECKPOINT, CHECKPOINT])


def figures(data: str, system: str, f1: float) -> Figures:
    return Figures(data, system, 1, 3, Scores(f1, f1, f1, {"PER": f1, "LOC": f1, "ORG": f1}, 9), [10.0, 30.0, 20.0])


def test_the_report_says_how_far_ours_is_ahead_on_the_same_data(tmp_path: Path) -> None:
    rows = [
        figures("a", "ours", 0.8),
        figures("a", "other", 0.7),
        figures("b", "ours", 0.5),
        figures("b", "other", 0.6),
    ]
    report = Report("2026-11-21T07:00:00+00:00", machine(), rows)
    report.write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["figures"][1]["scores"]["f1"] == 0.7
    console = Console(width=200)
    with console.capture() as shown:
        report.show(console, markdown=True)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.get().splitlines() if "|" in line]
    assert table[0][:3] == ["data", "system", "F1"]
    by_row = {(row[0], row[1]): row for row in table}
    assert by_row["a", "other"][2:] == [*["70.0"] * 6, "", "+10.0", "20", "10-30", "1"]
    assert by_row["b", "other"][9] == "-10.0"
    assert by_row["a", "ours"][9] == ""


CONTENT = {"": b"code" * 5000, "models": b"models" * 5000}
NAMES = (f"{corenlp.ARTIFACT}-{corenlp.VERSION}.jar", f"{corenlp.ARTIFACT}-{corenlp.VERSION}-models.jar")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of CoreNLP in a repository that jgo's configuration puts in Maven Central's place."""
    folder = tmp_path / "mirror" / Path(*corenlp.GROUP.split("."), corenlp.ARTIFACT, corenlp.VERSION)
    folder.mkdir(parents=True)
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "jgo.conf"))
    monkeypatch.setattr(
        corenlp, "JARS", {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    )
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        (tmp_path / "jgo.conf").write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder
        server.shutdown()


def test_corenlps_jars_are_fetched_once_and_again_when_they_were_changed(mirror: Path, tmp_path: Path) -> None:
    for name, content in zip(NAMES, CONTENT.values(), strict=True):
        (mirror / name).write_bytes(content)
    files = fetch(tmp_path / "cache")
    assert [file.read_bytes() for file in files] == list(CONTENT.values())
    for name in NAMES:
        (mirror / name).rename(mirror / f"{name}.away")
    assert fetch(tmp_path / "cache") == files
    files[1].write_bytes(b"changed")
    with pytest.raises(UserError, match=r"cannot fetch stanford-corenlp-4\.5\.10-models\.jar from http://127"):
        fetch(tmp_path / "cache")


def test_a_jar_that_is_not_the_one_pinned_is_discarded(mirror: Path, tmp_path: Path) -> None:
    for name in NAMES:
        (mirror / name).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"4\.5\.10\.jar: the fetched jar has SHA-256"):
        fetch(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.jar"))
