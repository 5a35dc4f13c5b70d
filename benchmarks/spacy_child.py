"""Tags posts in spaCy's environment, started by `benchmarks.spacy_ner`.

Reads lines of JSON. Each line is a list of posts, and each post a list of words. Answers each line with the tags in
the same form. Argument: the model's folder. Loads only the recogniser, since that is fastest.
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
