"""Changes training posts anew in each epoch: other names, and another casing of the whole post.

So the model learns the wording around a name and not the name, and less of the casing that edited texts have.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

from core.spelling import SIGNS
from model.addresses import begins_within_word, end_of_address
from model.tokens import TweetTokenizer
from model.training.accounts import WordAccount, accounts_of, mentions
from model.training.config import AugmentConfig
from model.training.corpus import Example, legal
from model.training.names import Names
from model.training.teacher import Beliefs
from model.training.train import Item, items

CASINGS = {"lower": 6, "upper": 2, "title": 2}
"""Casings of a whole post and their weights in the draw: people drop casing more often than they shout."""
ACRONYM = 4
"""Most letters of a name in capitals that counts as an acronym, and not as a post in capitals."""
HASHES = ("#", "＃")


class Augmentation:
    """The items of a training, changed anew in each epoch.

    The changes depend only on the seed and the epoch. Posts that do not change are not encoded again.
    """

    def __init__(
        self,
        config: AugmentConfig,
        names: Names | None,
        examples: Sequence[Example],
        beliefs: Sequence[Beliefs] | None,
        tokenizer: TweetTokenizer,
        seed: int,
    ) -> None:
        """`beliefs`: the teachers', about the same examples."""
        self._config, self._names, self._tokenizer, self._seed = config, names, tokenizer, seed
        self._posts = list(zip(examples, beliefs or [{}] * len(examples), strict=True))
        self.fingerprint = f"{config} {names.digest if names else None}"
        if any(example.accounts for example in examples):
            accounts = [[(each.start, each.end) for each in example.accounts] for example in examples]
            self.fingerprint += f" {hashlib.sha256(repr(accounts).encode()).hexdigest()}"

    def changed(self, unchanged: Sequence[Item], epoch: int) -> list[Item]:
        """Returns the items of an epoch. `unchanged`: those of the examples as they are."""
        chance = random.Random(f"{self._seed}/{epoch}/augment")
        result = list(unchanged)
        places, posts = [], []
        for place, (example, belief) in enumerate(self._posts):
            post = example, belief
            if self._names:
                post = with_other_names(*post, self._names, self._config.names, chance)
            if chance.random() < self._config.casing:
                post = recased(post[0], chance), post[1]
            if post[0] is not example:
                places.append(place)
                posts.append(post)
        encoded = items([example for example, _ in posts], self._tokenizer, [belief for _, belief in posts])
        for place, item in zip(places, encoded, strict=True):
            result[place] = item
        return result


def with_other_names(
    example: Example, beliefs: Beliefs, names: Names, share: float, chance: random.Random
) -> tuple[Example, Beliefs]:
    """Gives this share of the mentions another name of their type, in the same casing.

    The words of the new names have no beliefs. User names stay. Returns the same example if no mention changes.
    """
    tags = legal(example.tags)
    words: list[str] = []
    labels: list[str] = []
    moved: dict[int, int] = {}  # old place of each word that stays -> new place
    done = 0

    def keep(until: int) -> None:
        moved.update((place, len(words) + place - done) for place in range(done, until))
        words.extend(example.words[done:until])
        labels.extend(tags[done:until])

    for start, end in mentions(tags):
        kind, before = tags[start][2:], example.words[start - 1] if start else ""
        is_account = example.words[start].startswith(tuple(SIGNS)) or before in tuple(SIGNS)
        if kind not in names.lists or is_account or chance.random() >= share:
            continue
        keep(start)
        drawn = styled(names.draw(kind, end - start, chance), example.words[start:end], before)
        words.extend(drawn)
        labels.extend([f"B-{kind}", *[f"I-{kind}"] * (len(drawn) - 1)])
        done = end
    if not done:
        return example, beliefs
    keep(len(tags))
    accounts = tuple(WordAccount(moved[each.start], moved[each.end - 1] + 1) for each in example.accounts)
    changed = replace(example, words=tuple(words), tags=tuple(labels), accounts=accounts)
    return changed, {moved[place]: belief for place, belief in beliefs.items() if place in moved}


def styled(name: Sequence[str], former: Sequence[str], before: str = "") -> tuple[str, ...]:
    """Returns the name as the former one was written: in its casing, and as a hashtag.

    `before`: the word before the former one. It is a lone `#` in a corpus that splits hashtags.
    """
    sign = former[0][:1] if former[0].startswith(HASHES) else ""
    letters = "".join(former)
    if letters.islower():
        name = [word.lower() for word in name]
    elif letters.isupper() and sum(map(str.isalpha, letters)) > ACRONYM:
        name = [word.upper() for word in name]
    if len(former) == 1 and (sign or before in HASHES):
        name = ["".join(character for word in name for character in word if character.isalnum())]
    return (sign + name[0], *name[1:])


def recased(example: Example, chance: random.Random) -> Example:
    """Returns the post in a casing that is drawn from `CASINGS`. Addresses and user names stay.

    The beliefs about its words still hold: a name is the same name in another casing.
    """
    (casing,) = chance.choices(list(CASINGS), list(CASINGS.values()))
    # a word right behind a lone @ stays in any case, since a user name can stand there
    found = (*example.accounts, *accounts_of(example.words, splits=True))
    accounts = {place for each in found for place in range(each.start, each.end)}

    def change(place: int, word: str) -> str:
        if place in accounts or word.startswith(("http", "www.", *SIGNS)) or _has_address(word):
            return word
        if casing != "title":
            return word.lower() if casing == "lower" else word.upper()
        first = 2 if word.startswith(HASHES) else 1
        return word[:first].upper() + word[first:]

    return replace(example, words=tuple(change(place, word) for place, word in enumerate(example.words)))


def _has_address(word: str) -> bool:
    if end_of_address(word, 0) is not None:
        return True
    return any(begins_within_word(word, place) for place in range(1, len(word)))
