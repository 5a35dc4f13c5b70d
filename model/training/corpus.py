"""The published NER layout: `word TAB tag` lines, then a blank line; before them, in multimodal sets, `IMGID:<id>`, by
which captions are found."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError

from core.errors import UserError
from core.events import LenientModel, explain
from model.context import in_words

SPLITS = ("train", "valid", "test")
TYPES = {
    "PER": "PER",
    "LOC": "LOC",
    "ORG": "ORG",
    "MISC": "MISC",
    "OTHER": "MISC",
    "person": "PER",
    "location": "LOC",
    "corporation": "ORG",
    "group": "ORG",
    "product": "MISC",
    "creative-work": "MISC",
}
"""Twitter-2015 calls its fourth type OTHER, Twitter-2017 MISC: one class. The last six are WNUT-17's."""


@dataclass(frozen=True)
class Example:
    """One tweet as a corpus has split it. `id`: of its image; where it has none, # and its number in the file.
    `tags` are BIO as published, types mapped by `TYPES`; `image`: features (P, D), where a view reads them; `data`: the
    name of its data set's folder; `untold`: types that its annotators did not mark, so that an O may hide one."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    caption: str | None = None
    image: NDArray[np.floating] | None = field(default=None, compare=False, repr=False)
    data: str = field(default="", compare=False)
    untold: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """What makes two tweets the same text: the letters and digits, no case, no addresses."""
        kept = " ".join(word for word in self.words if not word.startswith(("http", "www.")))
        folded = unicodedata.normalize("NFKC", kept).casefold()
        return "".join(character for character in folded if character.isalnum())


CHANNELS = {"caption", "tags", "text"}


class Described(LenientModel):
    """A line of a file of captions: what an image shows, by any of the channels."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    set: str | None = None
    img: str
    caption: str | None = None
    tags: tuple[str, ...] | None = None
    text: str | None = None


def folders(data: Path) -> list[Path]:
    """The data sets under `data`: itself, or each folder in it that has a `train.txt`. Raises `UserError` if none."""
    found = (
        [data.resolve()] if (data / "train.txt").is_file() else sorted(path.parent for path in data.glob("*/train.txt"))
    )
    if not found:
        raise UserError(f"--data {data}: no train.txt there or one folder below; wanted train.txt, valid.txt, test.txt")
    return found


def split_file(folder: Path, split: str) -> Path:
    """`train.txt`, `valid.txt` or `test.txt`; where it is not there, the one file that is named after the split, as
    `btc.dev` and `emerging.test.annotated` are. Raises `UserError` where no file or several are."""
    plain = folder / f"{split}.txt"
    word = "dev" if split == "valid" else split
    named = [plain] if plain.is_file() else sorted(path for path in folder.glob(f"*{word}*") if path.is_file())
    if len(named) != 1:
        found = ", ".join(path.name for path in named) or "none"
        raise UserError(f"{folder}: wanted {plain.name} or one file with {word} in its name, found {found}")
    return named[0]


def read(path: Path, captions: dict[str, str] | None = None) -> list[Example]:
    """The tweets of one split file. Raises `UserError` naming file and line."""
    examples: list[Example] = []
    name, words, tags = "", list[str](), list[str]()
    for number, line in enumerate([*_lines(path), ""], start=1):
        if line.startswith("IMGID:"):
            name = line.removeprefix("IMGID:").strip()
        elif line.strip():
            word, tab, tag = line.rpartition("\t")
            if not tab:
                raise UserError(f"{path}:{number}: wanted `word<TAB>tag`, got {line!r}")
            tag = _tag(tag.strip(), path, number)
            if word.strip():  # the Broad Twitter Corpus tags some blanks
                words.append(word)
                tags.append(tag)
        elif words:
            caption = (captions or {}).get(name)
            called = name or f"#{len(examples) + 1}"
            examples.append(Example(called, tuple(words), tuple(tags), caption, data=path.parent.name))
            name, words, tags = "", [], []
    if not examples:
        raise UserError(f"{path}: no tweets in it")
    return examples


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from None


def _tag(tag: str, path: Path, number: int) -> str:
    prefix, _, kind = tag.partition("-")
    if tag == "O":
        return tag
    if prefix not in ("B", "I") or kind not in TYPES:
        raise UserError(f"{path}:{number}: unknown tag {tag!r}; wanted O, or B- or I- with one of {', '.join(TYPES)}")
    return f"{prefix}-{TYPES[kind]}"


def read_captions(path: Path, folder: str) -> dict[str, str]:
    """What images show, in words, by image id: of the data set in `folder` (a line's `set`, such as 2017, must end the
    folder's name). A line has a `caption`, `tags` (a list), or `text` that was read in the picture; what it has of them
    is joined as on the stream. Raises `UserError` naming the line."""
    captions: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            entry = Described.model_validate_json(line)
        except ValidationError as error:
            problem = explain(error)
        else:
            problem = "" if entry.model_fields_set & CHANNELS else f"none of {', '.join(sorted(CHANNELS))}"
        if problem:
            shape = '{"set": .., "img": .., "caption": .., "tags": [".."], "text": ..}, one of the last three or more'
            raise UserError(f"{path}:{number}: wanted {shape}: {problem}")
        words = in_words([entry.caption or ""], entry.tags or (), [entry.text or ""])
        if words and folder.endswith(entry.set or ""):
            captions[entry.img] = words
    return captions


def check_captions(path: Path, examples: Iterable[Example]) -> None:
    """Raises `UserError` where none of the tweets has one of the captions in `path`."""
    if not any(example.caption for example in examples):
        raise UserError(
            f'--captions {path}: none is of these tweets; wanted lines whose "set" ends the name of the folder of the '
            'data set, and whose "img" is an IMGID in it, as "12" of IMGID:12'
        )


def legal(tags: Sequence[str]) -> list[str]:
    """The same mentions in strict BIO: a tag I-X that continues no X begins one, as seqeval's default reads it."""
    result: list[str] = []
    for index, tag in enumerate(tags):
        continues = index > 0 and tags[index - 1][2:] == tag[2:] and tags[index - 1] != "O"
        result.append(tag if tag == "O" or tag[0] == "B" or continues else f"B-{tag[2:]}")
    return result


def as_auxiliary(examples: Sequence[Example]) -> list[Example]:
    """Labelled by other rules: of types that stand nowhere in it the corpus says nothing; a mention without a letter or
    digit, as the Broad Twitter Corpus has the `@` before a user's name, is none. Each data set by itself."""
    cleaned = [replace(example, tags=tuple(_without_signs(example))) for example in examples]
    told: dict[str, set[str]] = {}
    for example in cleaned:
        told.setdefault(example.data, set()).update(tag[2:] for tag in example.tags if tag != "O")
    return [replace(example, untold=frozenset(TYPES.values()) - told[example.data]) for example in cleaned]


def _without_signs(example: Example) -> Iterator[str]:
    tags = legal(example.tags)
    numbers = accumulate(tag[0] != "I" for tag in tags)  # of each mention, and each word outside, its own
    for _, group in groupby(zip(numbers, example.words, tags, strict=True), key=itemgetter(0)):
        part = list(group)
        named = any(character.isalnum() for _, word, _ in part for character in word)
        yield from (tag if named else "O" for _, _, tag in part)


def with_images(examples: Sequence[Example], features: Mapping[str, NDArray[np.floating]]) -> list[Example]:
    """Each tweet with the features of its image, where there are any under its id."""
    return [replace(example, image=features.get(example.id)) for example in examples]


def without_leaks(train: Sequence[Example], held_out: Iterable[Example]) -> list[Example]:
    """The training tweets whose text stands in no validation or test set."""
    seen = {example.key for example in held_out}
    return [example for example in train if example.key not in seen]
