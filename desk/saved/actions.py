"""What people do with saved searches. The pages and the API share it."""

from __future__ import annotations

import secrets

from fastapi import HTTPException, Request

from core.errors import Retry, Stop
from desk.access import audit
from desk.access.limits import Attempts
from desk.access.people import Person
from desk.saved.sender import Outcome
from desk.saved.service import Following, of
from desk.saved.signature import new_secret
from desk.saved.store import may_change
from desk.saved.values import Ledger, NewWebhook, Saved, SavedSearch, Webhook, WebhookState
from desk.saved.webhooks import TEST, signed

MOST_TESTS = 20
"""Test messages of one person within `desk.access.limits.WINDOW_S`. They go to a stranger's server."""


async def shown(request: Request, person: Person, search: SavedSearch) -> Saved:
    """Returns a saved search as the person may see it. Only who may change it sees where its webhook leads."""
    mine, hook = may_change(search, person), search.webhook
    state = None
    if mine and hook is not None:
        state = WebhookState(url=hook.url, paused=hook.paused, ledger=await _ledger(of(request), search.id))
    return Saved(
        id=search.id,
        name=search.name,
        query=search.query,
        owner=search.owner,
        created=search.created,
        mine=mine,
        has_webhook=hook is not None,
        webhook=state,
    )


async def _ledger(following: Following, search_id: str) -> Ledger | None:
    try:
        return await following.ledgers.read(search_id)
    except (Retry, Stop):
        return None


async def save(request: Request, person: Person, name: str, query: str) -> SavedSearch:
    """Saves a search. Raises as `SavedSearches.add` does."""
    saved = await of(request).searches.add(name, query, person)
    await audit.note(request, "search saved", search=saved.id, **audit.audited(saved.state))
    return saved


async def rename(request: Request, person: Person, search_id: str, name: str) -> SavedSearch:
    """Renames a search. Raises as `SavedSearches.owned` does."""
    searches = of(request).searches
    searches.owned(search_id, person).with_changes(name=name)  # it is noted only if it can be done
    await audit.note(request, "search renamed", search=search_id)
    return await searches.change(search_id, person, lambda search: search.with_changes(name=name))


async def delete(request: Request, person: Person, search_id: str) -> None:
    """Deletes a search, its webhook, and what Redis knows of it. Raises as `SavedSearches.owned` does."""
    following = of(request)
    search = following.searches.owned(search_id, person)
    await audit.note(request, "search deleted", search=search_id)
    await following.searches.delete(search)
    await following.ledgers.forget(search_id)


async def set_webhook(request: Request, person: Person, search_id: str, url: str) -> NewWebhook:
    """Sets up a webhook for the posts from now on, with a new secret. Replaces a former one.

    Raises `UserError` if no message may be sent to `url`, and as `SavedSearches.owned` does.
    """
    following = of(request)
    following.searches.owned(search_id, person)
    hook = Webhook(url=str(following.sender.check(url)), secret=new_secret())
    await audit.note(request, "webhook set", search=search_id)
    await following.ledgers.forget(search_id)
    await following.ledgers.move(search_id, await following.poller.place())
    await following.searches.change(search_id, person, lambda search: search.with_changes(webhook=hook))
    return NewWebhook(url=hook.url, secret=hook.secret)


async def remove_webhook(request: Request, person: Person, search_id: str) -> None:
    """Removes the webhook of a search. Raises as `SavedSearches.owned` does."""
    following = of(request)
    following.searches.owned(search_id, person)
    await audit.note(request, "webhook removed", search=search_id)
    await following.searches.change(search_id, person, lambda search: search.with_changes(webhook=None))
    await following.ledgers.forget(search_id)


async def resume_webhook(request: Request, person: Person, search_id: str) -> None:
    """Lets a paused webhook go on where it stopped. Raises HTTP 409 if it is not paused."""
    following = of(request)
    if not _hook(following.searches.owned(search_id, person)).paused:
        raise HTTPException(409, "the webhook is not paused")
    await audit.note(request, "webhook resumed", search=search_id)
    await following.ledgers.resume(search_id)

    def resumed(search: SavedSearch) -> SavedSearch:
        return search.with_changes(webhook=_hook(search).model_copy(update={"paused": ""}))

    await following.searches.change(search_id, person, resumed)


async def test_webhook(request: Request, person: Person, search_id: str) -> Outcome:
    """Sends a signed message without a post, once. Returns what the receiver answered.

    Raises HTTP 429 if the person has sent `MOST_TESTS` within a quarter of an hour.
    """
    following = of(request)
    search = following.searches.owned(search_id, person)
    hook = _hook(search)
    attempts: Attempts = request.app.state.access.attempts
    if wait_s := await attempts.count(f"webhook tests of {person.name}", MOST_TESTS):
        wait = int(wait_s) + 1
        message = f"you have sent {MOST_TESTS} test messages; wait {wait // 60 + 1} minutes"
        raise HTTPException(429, message, {"Retry-After": str(wait)})
    await audit.note(request, "webhook tested", search=search_id)
    body, headers = signed(search, TEST, f"msg_test_{secrets.token_hex(12)}")
    return await following.sender.send(hook.url, body, headers, is_test=True)


def _hook(search: SavedSearch) -> Webhook:
    if search.webhook is None:
        raise HTTPException(404, "this search has no webhook; set one up first")
    return search.webhook
