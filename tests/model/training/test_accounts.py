"""A corpus can be read with its user names as accounts, whether or not it splits them from their sign."""

from __future__ import annotations

from model.training.accounts import as_accounts
from model.training.annotation import OPEN
from model.training.corpus import Example


def example(line: str, tags: str, data: str = "a") -> Example:
    return Example("1", tuple(line.split()), tuple(tags.split()), data=data)


def test_gold_mentions_of_accounts_do_not_count() -> None:
    (read,) = as_accounts([example("@ NBA star Chris Paul @ Low Festival", "O B-ORG O B-PER I-PER O B-MISC I-MISC")])
    assert read.tags == ("O", "O", "O", "B-PER", "I-PER", "O", "O", "O")
    assert [(account.start, account.end) for account in read.accounts] == [(0, 2), (5, 7)]


def test_words_of_accounts_are_not_left_open() -> None:
    (read,) = as_accounts([example("@pop @NBA music now", f"{OPEN} {OPEN} {OPEN} O")])
    assert read.tags == ("O", "O", OPEN, "O")


def test_a_lone_sign_means_at_where_most_names_have_theirs() -> None:
    posts = [
        example("@ada @bob", "O O"),
        example("@ Larkin Square @Aleksander _ Lee", "O B-LOC I-LOC O O O"),
        example("@ Larkin", "O B-LOC", "other"),
    ]
    first, second, third = as_accounts(posts)
    assert [(account.start, account.end) for account in first.accounts] == [(0, 1), (1, 2)]
    assert (second.tags, [(each.start, each.end) for each in second.accounts]) == (posts[1].tags, [(3, 6)])
    assert third.tags == ("O", "O")


def test_a_post_without_accounts_stays_as_it_is() -> None:
    plain = example("I-tagged New York", "O I-LOC I-LOC")
    assert as_accounts([plain]) == [plain]
