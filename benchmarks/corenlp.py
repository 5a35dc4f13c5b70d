"""Stanford CoreNLP's 3-class CRF in a Java process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.line_process import LineProcess
from benchmarks.run import Wrong
from core.errors import UserError
from local import jars, java
from local.lock import alone
from model.training.corpus import Example

GROUP, ARTIFACT, VERSION = "edu.stanford.nlp", "stanford-corenlp", "4.5.10"
JARS = {
    "": "f813ce4ed7319d79225f2a520d40733075c6b3500dd0b81ee069229e461aab43",
    "models": "a5da9f6feb35a0fd2ea2cbe8909bede3952965b238a68c833ae3e031ed9026a0",
}
"""SHA-256 by Maven classifier. The jars are 9 and 474 MB large."""

MODEL = "edu/stanford/nlp/models/ner/english.all.3class.distsim.crf.ser.gz"
TYPES = {"PERSON": "PER", "LOCATION": "LOC", "ORGANIZATION": "ORG"}
HEAP = "2g"


def fetch(cache: Path | None = None) -> list[Path]:
    """Returns the jars. Fetches them once from Maven Central or the user's mirror (docs/local.md), and verifies them.

    Raises `UserError` when a jar cannot be fetched, or has another hash.
    """
    folder = (cache or jars.default_cache()) / Path(*GROUP.split("."), ARTIFACT, VERSION)
    with alone(folder / ".lock"):
        return [_fetch(classifier, sha256, folder) for classifier, sha256 in JARS.items()]


def _fetch(classifier: str, sha256: str, folder: Path) -> Path:
    """Fetches a jar into a temporary folder, verifies it, and moves it into place."""
    import requests
    from jgo.maven import MavenContext

    file = folder / f"{ARTIFACT}-{VERSION}{'-' if classifier else ''}{classifier}.jar"
    if file.exists() and jars.sha256_of(file) == sha256:
        return file
    repositories = jars.repositories()
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        context = MavenContext(repo_cache=Path(fresh), remote_repos=repositories, timeout=30)
        try:
            fetched = context.project(GROUP, ARTIFACT).at_version(VERSION).artifact(classifier).resolve()
        except (requests.RequestException, RuntimeError, OSError) as error:  # RuntimeError: jgo's "not found"
            raise UserError(f"cannot fetch {file.name} from {', '.join(repositories.values())}: {error}") from None
        if (actual := jars.sha256_of(fetched)) != sha256:
            raise UserError(f"{file.name}: the fetched jar has SHA-256 {actual}, not {sha256}; it was discarded")
        fetched.replace(file)
    return file


class CoreNLP:
    """`CRFClassifier` as a process that reads a post per line. It splits posts into sentences, which is its default."""

    name = f"CoreNLP {VERSION}"
    threads = 1

    def __init__(self, class_path: Sequence[Path]) -> None:
        command = [str(java.home() / "bin" / "java"), f"-Xmx{HEAP}", "-XX:+UseSerialGC"]
        command += ["-cp", os.pathsep.join(map(str, class_path)), "edu.stanford.nlp.ie.crf.CRFClassifier"]
        command += ["-loadClassifier", MODEL, "-readStdin", "-outputFormat", "tsv"]
        command += ["-tokenizerFactory", "edu.stanford.nlp.process.WhitespaceTokenizer"]
        self.process = LineProcess(command)

    def tag(self, tweets: Sequence[Example]) -> list[list[str]]:
        lines = self.process.ask(" ".join(tweet.words) for tweet in tweets)
        return [tags(lines, tweet.words) for tweet in tweets]

    def calibration_error(self, tweets: Sequence[Example]) -> None:
        return None


def tags(lines: Iterator[str], words: Sequence[str]) -> list[str]:
    """Returns the tags of a post from lines `word TAB label`. Blank lines end sentences. Reads only the post's lines.

    Labels have no B-: adjacent mentions of the same type become one. Raises `Wrong` if the words are not the post's.
    """
    found = []
    for word in words:
        answered, _, label = next(line for line in lines if line).rpartition("\t")
        if answered != word:
            raise Wrong(f"CoreNLP answered {answered!r} for the word {word!r} of {' '.join(words)!r}")
        found.append(f"I-{TYPES[label]}" if label in TYPES else "O")
    return found
