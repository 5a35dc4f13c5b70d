"""Posts that attack the browser through every field do nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Page

from core.events import Author, ImageResult, Media, Tweet
from streams.settings import Settings
from tests.desk.filled import extraction, fill, mention, save, set_apart
from tests.desk.pages import PAGES, look

PAYLOADS = (Path(__file__).parent / "payloads.txt").read_text().splitlines()


async def test_a_hostile_corpus_runs_nothing(desk: str, desk_settings: Settings, page: Page) -> None:
    assert len(set(PAYLOADS)) > 100
    extractions = []
    for place, payload in enumerate(PAYLOADS):
        text = f"{payload} in Paris"
        tweet = Tweet(
            id=f"p{place}",
            text=text,
            created_at=datetime(2026, 11, 30, tzinfo=UTC),
            author=Author(id=payload[:60], name=payload[:60]),
            lang=payload[:16],
            media=(Media(url=f"http://images.example/{payload[:60]}", alt=payload),),
            source=f"file:{payload[:50]}",
        )
        found = [mention(text, 0, len(payload), "ORG", 0.6), mention(text, len(text) - 5, len(text), "LOC", 0.97)]
        image = ImageResult(status="failed", reason=payload)
        extractions.append(extraction(tweet, found, context=payload, image=image))
    await fill(desk_settings, extractions)
    await set_apart(desk_settings, PAYLOADS[:20])
    await save(desk_settings, [payload for payload in PAYLOADS if len(payload) < 500])

    attacks: list[str] = []
    page.on("dialog", lambda dialog: attacks.append(f"dialog: {dialog.message}"))
    page.context.on("request", lambda request: attacks.append(request.url) if "evil" in request.url else None)
    for path in (
        *PAGES,
        *(f"/review/disputed?post=p{place}" for place in range(0, 40, 5)),
        "/search?q=Paris",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ):
        await look(page, desk + path)
        assert page.url.startswith(desk)
    assert attacks == []
