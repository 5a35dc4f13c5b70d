"""Makes Jetstream frames of the real shapes, and says what must become of each."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streams.feeds.adapters.bluesky import POSTS
from tests.streams.feeds.contract import Event

WORDS = ("Paris", "Ada Lovelace", "the", "NASA", "went to", "🚀", "Zürich", "東京", "and", "UNICEF", "rain", "🇫🇷")
SORTABLE = "234567" + string.ascii_lowercase
BASE32 = string.ascii_lowercase + "234567"


@dataclass(frozen=True)
class Made:
    """A frame. `posts`: (id, edit) of its posts, with None for any edit but 0."""

    frame: dict[str, Any]
    kind: str  # post, delete, account, identity, like, ...
    posts: set[tuple[str, int | None]] = field(default_factory=set)
    events: set[Event] = field(default_factory=set)
    last: dict[str, str] = field(default_factory=dict)  # id -> text of an edited post


class Frames:
    """Makes one frame after the other, `step_us` microseconds apart."""

    def __init__(self, chance: random.Random, start_us: int, step_us: int) -> None:
        self.now_us = start_us
        self._chance, self._step_us = chance, step_us
        self._people = [f"did:plc:{self._letters(24)}" for _ in range(40)]
        self._published: list[tuple[str, str, dict[str, Any]]] = []
        self._states: dict[str, str] = {}

    def _letters(self, count: int) -> str:
        return "".join(self._chance.choice(BASE32) for _ in range(count))

    def next(self) -> Made:
        """Returns a frame: mostly posts; also updates, deletions, accounts, identities, and records of other kinds."""
        self.now_us += self._step_us
        (kind,) = self._chance.choices(
            ["post", "update", "delete", "account", "identity", "like"], [70, 5, 8, 5, 4, 8], k=1
        )
        if kind in {"update", "delete"} and not self._published:
            kind = "post"
        return getattr(self, f"_{kind}")()  # type: ignore[no-any-return]

    def of(self, kind: str, lang: str = "en") -> Made:
        """Returns a frame of this kind, which may also be `repost`."""
        self.now_us += self._step_us
        if kind == "post":
            return self._post(lang)
        if kind == "repost":
            return self._other("app.bsky.feed.repost", kind)
        return getattr(self, f"_{kind}")()  # type: ignore[no-any-return]

    def _key(self) -> str:
        """Returns a key that holds the time (https://atproto.com/specs/tid)."""
        number = self.now_us << 10 | self._chance.randrange(1024)
        return "".join(SORTABLE[number >> shift & 31] for shift in range(60, -1, -5))

    def _commit(self, did: str, rkey: str, operation: str, collection: str, record: Any = None) -> dict[str, Any]:
        commit = {"rev": self._letters(13), "operation": operation, "collection": collection, "rkey": rkey}
        if record is not None:
            commit |= {"record": record, "cid": f"bafyrei{self._letters(52)}"}
        return {"did": did, "time_us": self.now_us, "kind": "commit", "commit": commit}

    def _post(self, lang: str = "en") -> Made:
        chance = self._chance
        did, rkey = chance.choice(self._people), self._key()
        created = datetime.fromtimestamp(self.now_us / 1e6 - chance.random(), UTC)
        record: dict[str, Any] = {
            "$type": POSTS,
            "createdAt": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "langs": [lang],
            "text": " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 12))),
        }
        if chance.random() < 0.2:
            blob = {
                "$type": "blob",
                "ref": {"$link": f"bafkrei{self._letters(52)}"},
                "mimeType": "image/jpeg",
                "size": 9,
            }
            record["embed"] = {"$type": "app.bsky.embed.images", "images": [{"alt": "a street", "image": blob}]}
        self._published.append((did, rkey, record))
        return Made(self._commit(did, rkey, "create", POSTS, record), "post", {(f"at:{did}:{rkey}", 0)})

    def _update(self) -> Made:
        did, rkey, record = self._chance.choice(self._published)
        changed = record | {"text": f"{record['text']} (corrected {self._letters(6)})"}
        frame = self._commit(did, rkey, "update", POSTS, changed)
        return Made(frame, "update", {(f"at:{did}:{rkey}", None)}, last={f"at:{did}:{rkey}": changed["text"]})

    def _delete(self) -> Made:
        did, rkey, _ = self._chance.choice(self._published)
        frame = self._commit(did, rkey, "delete", POSTS)
        return Made(frame, "delete", events={("erase", f"post:at:{did}:{rkey}", "deleted")})

    def _account(self) -> Made:
        did = self._chance.choice(self._people)
        state = self._chance.choice(["active", "deleted", "takendown", "deactivated", "suspended", "throttled"])
        account = {"active": state == "active", "did": did, "seq": self._chance.randint(1, 10**9)}
        account |= {"time": datetime.fromtimestamp(self.now_us / 1e6, UTC).isoformat().replace("+00:00", "Z")}
        account |= {} if state == "active" else {"status": state}
        frame = {"did": did, "time_us": self.now_us, "kind": "account", "account": account}
        subject = f"author:{did}"
        events: dict[str, set[Event]] = {
            "active": {("show", subject, None)},
            "deleted": {("erase", subject, "deleted"), ("hide", subject, "deleted")},
            "takendown": {("erase", subject, "takedown"), ("hide", subject, "takedown")},
            "deactivated": {("hide", subject, "deactivated")},
            "suspended": {("hide", subject, "suspended")},
            "throttled": set(),
        }
        return Made(frame, "account" if events[state] else "account_state", events=events[state])

    def _identity(self) -> Made:
        did = self._chance.choice(self._people)
        identity = {"did": did, "handle": "ada.example.com", "seq": 7, "time": "2026-11-01T00:00:00Z"}
        return Made({"did": did, "time_us": self.now_us, "kind": "identity", "identity": identity}, "identity")

    def _like(self) -> Made:
        return self._other("app.bsky.feed.like", "like")

    def _other(self, collection: str, kind: str) -> Made:
        did = self._chance.choice(self._people)
        subject = {"cid": f"bafyrei{self._letters(52)}", "uri": f"at://{did}/{POSTS}/3l{self._letters(11)}"}
        record = {"$type": collection, "createdAt": "2026-11-01T00:00:00Z", "subject": subject}
        return Made(self._commit(did, self._letters(13), "create", collection, record), kind)


def garbage(chance: random.Random) -> str | bytes:
    """Returns a frame that no adapter can read. No two are the same."""
    mark = chance.randrange(10**12)
    head = f'{{"did": "did:plc:{mark}", "time_us": 17'
    choices: list[str | bytes] = [
        f'{head}00000000000000, "kind": "commit", "commit": {{"operation": "create", "coll',
        f'[{mark}, "no object"]',
        f"\x00{mark}",
        f'{{"did": "did:plc:{mark}", "time_us": "soon", "kind": "commit"}}',
        f'{{"did": {mark}, "time_us": 1700000000000000, "kind": "account", "account": {{"active": "perhaps"}}}}',
        f'{{"did": "did:plc:{mark}", "kind": "commit"}}',
        f'{{"did": "did:plc:a{mark}", "time_us": 1700000000000000, "kind": "commit", "commit": '
        f'{{"operation": "create", "collection": "{POSTS}", "rkey": "3labc", "record": {{"text": 5}}}}}}',
        "[" * 5000 + str(mark),
        b"\xff\xfe" + str(mark).encode(),
        f'{{"did": "did:plc:{mark}", "time_us": {10**30}, "kind": "identity"}}',
    ]
    return chance.choice(choices)
