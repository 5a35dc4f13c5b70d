"""The entity types of the published corpora, and what they are among ours.

A type without a counterpart maps to None. Its words are left open: training does not say what they are.
"""

from __future__ import annotations

OPEN = "?"
"""Tag of a word that may have any label."""

TWITTER: dict[str, str | None] = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "MISC": "MISC", "OTHER": "MISC"}
"""Also those of the Broad Twitter Corpus and WikiGold. OTHER is Twitter-2015's name for MISC."""

WNUT: dict[str, str | None] = {
    "person": "PER",
    "location": "LOC",
    "corporation": "ORG",
    "group": "ORG",
    "product": "MISC",
    "creative-work": "MISC",
}

CROSSNER: dict[str, str | None] = {
    # all fields
    "country": "LOC",
    "organisation": "ORG",
    "event": "MISC",
    "misc": None,  # nationalities, ideas, and places that the annotators missed
    # politics
    "politician": "PER",
    "politicalparty": "ORG",
    "election": "MISC",  # an event
    # science
    "scientist": "PER",
    "university": "ORG",
    "academicjournal": None,  # as a magazine, a work or its publisher
    "award": "MISC",
    "astronomicalobject": None,  # planets, which are places to some annotators
    "discipline": None,  # from here on common nouns, with some names among them
    "theory": None,
    "chemicalelement": None,
    "chemicalcompound": None,
    "protein": None,
    "enzyme": None,
    # music
    "musicalartist": "PER",
    "band": "ORG",  # as WNUT-17's group
    "album": "MISC",
    "song": "MISC",
    "musicgenre": None,
    "musicalinstrument": None,
    # literature
    "writer": "PER",
    "book": "MISC",
    "poem": "MISC",
    "magazine": None,  # a work or its publisher: The New Yorker
    "literarygenre": None,
    # AI
    "researcher": "PER",
    "conference": None,  # an event or the body behind it: AAAI
    "programlang": "MISC",
    "field": None,
    "task": None,
    "algorithm": None,
    "metrics": None,
}
"""Those that are not already in `WNUT`: `person`, `location` and `product` mean the same there."""

TYPES: dict[str, str | None] = TWITTER | WNUT | CROSSNER
