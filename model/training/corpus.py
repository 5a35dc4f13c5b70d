"""Reads NER corpora in the published layout: a line `word TAB tag` for each word, and a blank line after each post.
In a file without any tab, a blank stands between word and tag.

In multimodal sets, each post begins with a line `IMGID:<id>`. Its caption and image are found by that id.

A post may also begin with comment lines, such as `# id ...` and `# source ...`, as in exports. A file that names a
source anywhere is obeyed post by post: a post whose source may not train is skipped, and so is one without a source. A
file that names none is the responsibility of who uses it. The published corpora are such files.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError

from core.errors import UserError
from core.events import ENTITY_TYPES, HasSpan, LenientModel, explain
from model.conll import COMMENT, unquoted
from model.context import in_words
from model.training.annotation import OPEN, TYPES
from model.training.permission import Permission

SPLITS = ("train", "valid", "test")
DOCUMENT = "-DOCSTART-"
"""Begins a line between two documents, as in CoNLL-2003 and WikiGold."""


@dataclass(frozen=True)
class Example:
    """One post of a corpus, split into words."""

    id: str
    """The id of its image; without one, # and the number of the post in its file."""
    words: tuple[str, ...]
    tags: tuple[str, ...]
    """BIO tags as published, with our types, or `OPEN`; empty for a post without labels."""
    caption: str | None = None
    image: NDArray[np.floating] | None = field(default=None, compare=False, repr=False)
    """Image features (P, D)."""
    source: str | None = field(default=None, compare=False)
    """Source of the post, where the file names it."""
    data: str = field(default="", compare=False)
    """Name of the data set's folder."""
    unannotated: frozenset[str] = frozenset()
    """Types that the annotators did not mark: a word tagged O may have one of them."""
    accounts: tuple[HasSpan, ...] = ()
    """Words of user names that are in no mention (`model.training.accounts`). Empty: they are words like any other."""

    @property
    def key(self) -> str:
        """Equal for posts with the same text: letters and digits, without case and URLs."""
        kept = " ".join(word for word in self.words if not word.startswith(("http", "www.")))
        folded = unicodedata.normalize("NFKC", kept).casefold()
        return "".join(character for character in folded if character.isalnum())


CHANNELS = {"caption", "tags", "text"}


class Described(LenientModel):
    """A line of a captions file: what an image shows, in any of the `CHANNELS`."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    set: str | None = None
    img: str
    caption: str | None = None
    tags: tuple[str, ...] | None = None
    text: str | None = None


def folders(data: Path) -> list[Path]:
    """Returns the data sets under `data`: itself, or each folder in it that has a `train.txt`.

    Raises `UserError` if there is none.
    """
    if (data / "train.txt").is_file():
        return [data.resolve()]
    sets = sorted(path.parent for path in data.glob("*/train.txt"))
    if not sets:
        raise UserError(
            f"{data}: no train.txt there or one folder below; a data set has train.txt, valid.txt, test.txt"
        )
    return sets


def split_file(folder: Path, split: str) -> Path:
    """Returns `train.txt`, `valid.txt` or `test.txt`, or else the one file that is named after the split.

    `btc.dev` and `emerging.test.annotated` are such names. Raises `UserError` if there is no such file, or several.
    """
    plain = folder / f"{split}.txt"
    word = "dev" if split == "valid" else split
    files = [plain] if plain.is_file() else sorted(path for path in folder.glob(f"*{word}*") if path.is_file())
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise UserError(f"{folder}: needs {plain.name} or one file with {word} in its name; found {names}")
    return files[0]


def split_files(folder: Path) -> dict[str, Path]:
    """Returns the file of each split. A folder with one file alone has only a training split. Raises `UserError`."""
    files = [path for path in folder.glob("*") if path.is_file()]
    return {"train": files[0]} if len(files) == 1 else {split: split_file(folder, split) for split in SPLITS}


def read(
    path: Path,
    captions: dict[str, str] | None = None,
    permission: Permission | None = None,
    *,
    may_be_open: bool = False,
) -> list[Example]:
    """Reads the posts of one split file that may train, with these captions by image id.

    `may_be_open`: whether the types may have no counterpart among ours. Such a file cannot be measured on.

    Raises `UserError` naming file and line, or the sources that forbid it.
    """
    examples: list[Example] = []
    name, source, words, tags = "", None, list[str](), list[str]()
    lines = _lines(path)
    separator = "\t" if any("\t" in line for line in lines) else " "
    for number, line in enumerate([*lines, ""], start=1):
        if line.startswith("IMGID:") and "\t" not in line:
            name = line.removeprefix("IMGID:").strip()
        elif not words and "\t" not in line and (comment := COMMENT.fullmatch(line.rstrip())):
            name = comment[2] if comment[1] == "id" else name
            source = unquoted(comment[2]) if comment[1] == "source" else source
        elif line.startswith(DOCUMENT):
            continue
        elif line.strip():
            word, separated, tag = line.rpartition(separator)
            if not separated:
                layout = "`word<TAB>tag`," if separator == "\t" else "`word tag`, since no line has a tab;"
                raise UserError(f"{path}:{number}: expected {layout} got {line!r}")
            tag = _tag(tag.strip(), path, number, may_be_open=may_be_open)
            if word.strip():  # the Broad Twitter Corpus has tags on blank words
                words.append(word)
                tags.append(tag)
        elif words:
            caption = (captions or {}).get(name)
            id_ = name or f"#{len(examples) + 1}"
            examples.append(Example(id_, tuple(words), tuple(tags), caption, source=source, data=path.parent.name))
            name, source, words, tags = "", None, [], []
        else:
            source = None  # of a post without words
    if not examples:
        raise UserError(f"{path}: contains no posts")
    return (permission or Permission()).of(examples, path)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from None


def _tag(tag: str, path: Path, number: int, *, may_be_open: bool) -> str:
    prefix, _, kind = tag.partition("-")
    if tag == "O":
        return tag
    if prefix not in ("B", "I") or kind not in TYPES:
        raise UserError(f"{path}:{number}: unknown tag {tag!r}; use O, or B- or I- with one of {', '.join(TYPES)}")
    if (ours := TYPES[kind]) is not None:
        return f"{prefix}-{ours}"
    if not may_be_open:
        raise UserError(
            f"{path}:{number}: {tag} is none of {', '.join(ENTITY_TYPES)}; the data set can be learned from, as "
            "data.auxiliary, but not measured on"
        )
    return OPEN


def read_captions(path: Path, folder: str) -> dict[str, str]:
    """Reads what images show, by image id, for the data set named `folder`.

    A line belongs to the data set when it has no `set`, or when the folder's name ends with the line's `set`, such as
    2017. Its `caption`, `tags` and `text` (read in the image) are joined as on the stream. Raises `UserError` naming
    the line.
    """
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
            shape = '{"set": .., "img": .., "caption": .., "tags": [".."], "text": ..}, at least one of the last three'
            raise UserError(f"{path}:{number}: expected {shape}: {problem}")
        words = in_words([entry.caption or ""], entry.tags or (), [entry.text or ""])
        if words and folder.endswith(entry.set or ""):
            captions[entry.img] = words
    return captions


def check_captions(path: Path, examples: Iterable[Example]) -> None:
    """Raises `UserError` if no example has a caption from the file `path`."""
    if not any(example.caption for example in examples):
        raise UserError(
            f"captions {path}: none belongs to these posts; the name of the data set's folder must end with the value "
            "of the line's key `set`, such as 2017, and its key `img` must be an IMGID of the data set, such as 12 for "
            "IMGID:12"
        )


def legal(tags: Sequence[str]) -> list[str]:
    """Returns the same mentions in strict BIO: an I-X that continues no X becomes B-X, as in seqeval's default."""
    result: list[str] = []
    for index, tag in enumerate(tags):
        continues = index > 0 and tags[index - 1][2:] == tag[2:] and tags[index - 1] != "O"
        result.append(tag if tag[0] != "I" or continues else f"B-{tag[2:]}")
    return result


def as_auxiliary(
    examples: Sequence[Example], unannotated: Mapping[str, Collection[str]] | None = None
) -> list[Example]:
    """Adapts a corpus with a different annotation scheme.

    Types that a data set never uses count as unannotated, not as absent. So do those that `unannotated` lists for it,
    and the words that the data set marks as one of these are left open. A mention without a letter or digit is dropped:
    the Broad Twitter Corpus marks the `@` before a user's name.
    """
    chosen = unannotated or {}
    cleaned = [replace(example, tags=tuple(_cleaned(example, chosen.get(example.data, ())))) for example in examples]
    annotated: dict[str, set[str]] = {}
    for example in cleaned:
        annotated.setdefault(example.data, set()).update(tag[2:] for tag in example.tags)
    types = frozenset(ENTITY_TYPES)
    return [replace(example, unannotated=types - annotated[example.data]) for example in cleaned]


def _cleaned(example: Example, open_types: Collection[str]) -> Iterator[str]:
    tags = legal(example.tags)
    numbers = accumulate(tag[0] != "I" for tag in tags)  # a number for each mention and for each word outside of one
    for _, group in groupby(zip(numbers, example.words, tags, strict=True), key=itemgetter(0)):
        part = list(group)
        named = any(character.isalnum() for _, word, _ in part for character in word)
        for _, _, tag in part:
            is_open = tag == OPEN or tag[2:] in open_types
            yield OPEN if is_open else tag if named else "O"


def with_images(examples: Sequence[Example], features: Mapping[str, NDArray[np.floating]]) -> list[Example]:
    """Returns the examples with the image features under their ids, where there are any."""
    return [replace(example, image=features.get(example.id)) for example in examples]


def without_leaks(train: Sequence[Example], held_out: Iterable[Example]) -> list[Example]:
    """Returns the training examples whose text is not in `held_out`."""
    keys = {example.key for example in held_out}
    return [example for example in train if example.key not in keys]
