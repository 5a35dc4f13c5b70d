"""Finds posts that have the id and the edit of another post, as when feeds of several servers meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.events import Tweet


def collisions(posts: Sequence[Tweet], held: Mapping[str, tuple[int, str | None]]) -> set[int]:
    """Returns the places of posts whose text differs from that of an earlier post with the same id and edit.

    `held`: id -> edit and text of the post in the index. The posts come in the order of their topic. The first post of
    an edit stays, so a replay finds the same collisions. A post below the newest edit is outdated, and none.
    """
    newest = dict(held)
    found = set()
    for place, post in enumerate(posts):
        edit, text = newest.get(post.id, (-1, None))
        if post.edit > edit:
            newest[post.id] = post.edit, post.text
        elif post.edit == edit and post.text != text:
            found.add(place)
    return found


def reason(post: Tweet) -> str:
    """Says what is wrong with a post that collides, and what to do."""
    unread = f" Its own edit could not be read ({post.left_out['edit']})." if "edit" in post.left_out else ""
    return (
        f"id: another post with the id {post.id!r} and edit {post.edit} is in the index, with another text.{unread} "
        f"If it is of another server, put the server before the ids of each, as in 'server:{post.id}'; "
        "if this is an edited version, give it a higher edit"
    )
