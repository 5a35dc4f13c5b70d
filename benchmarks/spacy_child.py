"""Run in spaCy's own environment by `benchmarks.spacy_ner`: a line of tweets in (JSON, words), a line of tags out.

Argument: the model's folder. The recogniser alone is loaded, which is what is fastest.
"""

import json
import sys

import spacy  # type: ignore[import-not-found]
from spacy.tokens import Doc  # type: ignore[import-not-found]

nlp = spacy.load(sys.argv[1], enable="ner")
for line in sys.stdin:
    docs = nlp.pipe(Doc(nlp.vocab, words=words) for words in json.loads(line))
    tags = [[f"{word.ent_iob_}-{word.ent_type_}".removesuffix("-") for word in doc] for doc in docs]
    print(json.dumps(tags), flush=True)
