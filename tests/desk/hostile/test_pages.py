"""Every hostile text, in every field and on every page, runs nothing and stands there as text."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlencode

import pytest
from aiohttp import web
from PIL import Image
from playwright.async_api import Dialog, Page, Request, expect

from core.spelling import normalise
from core.text import plain
from sinks.dead_letters import stable
from streams.settings import Settings
from tests.desk.conftest import served
from tests.desk.file_server import served_files
from tests.desk.filled import answer, fill, save
from tests.desk.hostile.corpus import (
    DAY,
    NAME,
    NOTE,
    PAYLOADS,
    day_of,
    die,
    dispute,
    join,
    log,
    names,
    packed,
    packs,
    singles,
)
from tests.desk.pages import PAGES
from tests.desk.review.made import moved_on, sent, shown

CONTEXT = 40
"""Characters that a line of a name shows on each side, or more."""

WATCH = """
window.alert = window.confirm = window.prompt = (what) => console.error(`RAN ${what}`);
document.addEventListener("securitypolicyviolation", (report) => console.error(`CSP ${report.violatedDirective}`));
"""
"""Reports each text that ran, and each report of the security policy. The page's own fixture looks for the rest."""

READ = """selectors => selectors.map((selector) => [...document.querySelectorAll(selector)].map((element) => {
  const copy = element.cloneNode(true);
  copy.querySelectorAll(".type, .sr").forEach((mark) => mark.remove());
  return element.getAttribute("alt") ?? (element.matches("input") ? element.value : copy.textContent);
}))"""
"""Returns the text of the elements of each selector, without the letters of types."""

REVIEWED = {
    ".about strong": "{}",
    ".about > bdi": "{:.64}",
    "figcaption": "{}",
    ".context span:last-child": "{}",
    ".review-image p": "The model did not see this image: {}",
}
"""Parts of the review, and what each says of the texts of a post."""

ASKED = "words => document.querySelector('.why-head q')?.textContent === words"

FOREIGN = """() => {
  const links = ["href", "src", "action", "formaction", "srcdoc", "xlink:href"];
  const places = [location.origin, "https://www.standardwebhooks.com"];
  const isOwn = ({ name, value }) => !name.startsWith("on") && name !== "style"
    && !(links.includes(name) && !places.includes(new URL(value, location).origin));
  const tags = `iframe, frame, object, embed, base, math, foreignObject, animate, video, audio, marquee, style, x,
    script:not([src]), link:not([href^="/static/"]), meta[http-equiv], [contenteditable], [autofocus], [is],
    template:not([id])`;
  const isForeign = (element) => element.matches(tags) || ![...element.attributes].every(isOwn);
  const foreign = [...document.querySelectorAll("*")].filter(isForeign).map((element) => element.outerHTML);
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  return [...foreign.map((text) => text.slice(0, 200)), ...ids.filter((id, at) => ids.indexOf(id) !== at)];
}"""
"""Returns the elements that no template of the desk makes, and ids that stand on the page twice."""


@pytest.fixture
async def attacks(page: Page) -> AsyncIterator[list[str]]:
    """What the texts did: it stays empty."""
    found: list[str] = []

    async def dismiss(dialog: Dialog) -> None:
        found.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def asked(request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            found.append(f"request: {request.url}")

    page.on("dialog", dismiss)
    page.on("console", lambda message: found.append(message.text) if message.text[:3] in {"RAN", "CSP"} else None)
    page.context.on("request", asked)
    await page.add_init_script(WATCH)
    yield found
    assert found == []


class Looked:
    """A page and what stands on it."""

    def __init__(self, page: Page, desk: str) -> None:
        self.page, self.desk = page, desk

    async def at(self, path: str) -> None:
        """Opens a page. Nothing on it may come from a text but text."""
        answer = await self.page.goto(self.desk + path, wait_until="domcontentloaded")
        assert answer is not None
        assert answer.ok or path in PAGES, path  # a page of the list may need what is not here
        await self.clean()

    async def clean(self) -> None:
        assert await self.page.evaluate(FOREIGN) == [], self.page.url
        assert self.page.url.startswith(self.desk)

    async def texts(self, *selectors: str) -> list[list[str]]:
        found: list[list[str]] = await self.page.evaluate(READ, list(selectors))
        return [[plain(text, 10**6) for text in texts] for texts in found]

    async def have(self, wanted: Iterable[str], selector: str, most: int = 10**5) -> None:
        """Checks that elements of the selector show each of the wanted texts, or its first `most` characters."""
        (found,) = await self.texts(selector)
        lost = {plain(text, most) for text in wanted} - set(found)
        assert not lost, f"{self.page.url}, {selector}: {sorted(lost)[:3]} not in {found[:5]}"


@pytest.mark.timeout(900)  # it looks at every page of the desk
async def test_every_text_stands_on_every_page_as_text(
    desk_settings: Settings, page: Page, attacks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(set(PAYLOADS)) > 100
    monkeypatch.setattr("desk.overview.kafka_watch.EVERY_S", 0.3)
    file = io.BytesIO()
    Image.new("RGB", (90, 60), "navy").save(file, "PNG")

    async def send(request: web.Request) -> web.Response:
        return web.Response(body=file.getvalue(), content_type="image/png")

    async with served_files(send) as host:
        with served(desk_settings.changed(image={"allow": (host,)})) as desk:
            looked = Looked(page, desk)
            await live(looked, desk_settings, host)
            await fill(desk_settings, [*packed(host, "k", NOTE, 0.97), *packed(host, "r", NAME, 0.45)])
            await dispute(desk_settings)
            await save(desk_settings, [payload for payload in PAYLOADS if len(payload) < 500])
            for path in PAGES:
                await looked.at(path)
            for step in (search, posts, entities, disputed, saved, audit, words, review, overview):
                await step(looked, desk_settings)
                assert attacks == [], step.__name__


async def live(looked: Looked, settings: Settings, host: str) -> None:
    """The posts come while the page is open, in two parts, since it shows no more than a hundred."""
    await looked.at("/live")
    await expect(looked.page.locator("#live-says")).to_have_text("Live")
    made = list(singles(host))
    for start in (0, 1):
        part = made[start::2]
        await fill(settings, part)
        for one in part:
            await expect(looked.page.locator(f"#live-hits a.hit-open[href='/posts/{one.tweet.id}']")).to_be_attached()
        await looked.clean()
        await looked.have([one.tweet.text for one in part], "#live-hits .post")
        await looked.have([one.tweet.source for one in part], "#live-hits .hit-source")
        for selector in (".hit-author", ".hit-image img"):
            await looked.have(PAYLOADS[start::2], f"#live-hits {selector}")


async def search(looked: Looked, settings: Settings) -> None:
    """A day at a time: then the posts, and the values of each filter, stand on one page."""
    for start in range(0, len(PAYLOADS), DAY):
        part, day = PAYLOADS[start : start + DAY], day_of(start).date().isoformat()
        await looked.at(f"/search?{urlencode({'since': day, 'until': day})}")
        await looked.have([f"{payload} in Paris, {payload}" for payload in part], ".hit .post")
        await looked.have(part, ".hit-author", 80)
        await looked.have(part, ".hit-image img")
        await looked.have([payload[:64] for payload in part], ".hit-head > bdi")
        await looked.have(part, ".facet-name", 60)
        await looked.have([payload[:64] for payload in part], ".facet-name", 60)
        await looked.have([payload[:16] for payload in part], ".facet-name")
        await looked.at(f"/entities?{urlencode({'since': day, 'until': day})}")
        alone = [payload for payload in part if names()[normalise(payload)] == [payload]]
        await looked.have(alone, ".name-link bdi", 60)
    (sources,) = await looked.texts("select[name=source] option")
    assert len({plain(payload[:64], 40) for payload in PAYLOADS} & set(sources)) > 40
    for at in range(0, len(packs()), 3):
        words = " ".join(" ".join(pack) for pack in packs()[at : at + 3])
        await looked.at(f"/search?{urlencode({'q': words})}")
        await looked.have([words], "#q")
        await looked.have([words], ".asked", 60)


async def posts(looked: Looked, settings: Settings) -> None:
    for place, pack in enumerate(packs()):
        await looked.at(f"/posts/k{place}")
        whole = " ".join(pack)
        await looked.have([f"{whole} Paris"], "p.post")
        await looked.have(pack, "table.mentions th[scope=row]", 120)
        await looked.have([whole], "p.context")
        await looked.have([whole], ".post-images img")
        await looked.have([whole], "figcaption", 1000)
        await looked.have([whole], "dd bdi", 300)
        await looked.have([whole], ".hit-author", 80)
    await looked.at("/posts/p0")
    await looked.have(PAYLOADS[:1], "dd bdi")


async def entities(looked: Looked, settings: Settings) -> None:
    await join(settings, "corpus")
    await looked.at("/entities/corrections")
    while await looked.page.locator(".told").count() < len(names()):
        await asyncio.sleep(0.1)
        await looked.at("/entities/corrections")
    await looked.have(names(), "p > a > bdi", 80)
    await looked.have([name[:128] for name in names()], ".told-who bdi", 60)
    await looked.at(f"/entities/name?{urlencode({'name': 'corpus'})}")
    await looked.have(names(), ".also bdi", 60)
    await looked.have(names(), ".told-list a bdi", 80)
    (surfaces,) = await looked.texts("#split-surface option")
    assert len({plain(payload, 80) for payload in PAYLOADS} & set(surfaces)) > 40
    (latest,) = await looked.texts("#hits .post")
    assert latest


async def disputed(looked: Looked, settings: Settings) -> None:
    for place, pack in enumerate(packs()):
        await looked.at(f"/review/disputed?post=k{place}&names=true")
        whole = " ".join(pack)
        await looked.have([f"{whole} Paris"], "article > p.post")
        await looked.have([f"{whole} Paris"], "p.post.version")
        await looked.have([whole], ".flag bdi", 500)
        await looked.have([whole], "p > .badge + bdi", 600)
        await looked.have(pack, "table.differences th[scope=row]", 80)
        await looked.have([PAYLOADS[place], PAYLOADS[-1 - place]], ".version-head bdi", 128)
        await looked.have([f"{' '.join(pack)} Paris" for pack in packs()], ".case-text", 90)


async def saved(looked: Looked, settings: Settings) -> None:
    await looked.at("/saved")
    await looked.have([f"{place} {payload}" for place, payload in enumerate(PAYLOADS)], ".saved-what h2 bdi", 100)
    await looked.have(PAYLOADS, ".saved-query .words", 120)
    await looked.have(PAYLOADS, "td", 120)


async def audit(looked: Looked, settings: Settings) -> None:
    await asyncio.to_thread(log, settings)
    await looked.at("/audit")
    await looked.have([payload[:64] for payload in PAYLOADS], "td.mono", 64)
    await looked.have([payload[:64] for payload in PAYLOADS], "td:nth-child(3) a", 64)
    await looked.have(PAYLOADS, "td:nth-child(2) a", 128)
    await looked.have([f"{plain(payload[:40], 40)} {plain(payload, 300)}" for payload in PAYLOADS], "td.details > span")


async def words(looked: Looked, settings: Settings) -> None:
    page = looked.page
    await looked.at(f"/review/words?{urlencode({'name': 'paris', 'type': 'LOC'})}")
    for button, item, number in (("More names", ".words-name", len(names())), ("More lines", ".words-line", 125)):
        await expect(page.locator(item).first).to_be_visible()
        while await page.get_by_role("button", name=button).count():
            here = await page.locator(item).count()
            await page.get_by_role("button", name=button).click()
            await expect(page.locator(item).nth(here)).to_be_attached()
        assert await page.locator(item).count() >= number
    await looked.clean()
    await looked.have(names(), ".words-name .name")
    before, after = await looked.texts(".words-line .before", ".words-line .after")
    assert {plain(f"{payload} in", 10**5)[-CONTEXT:] for payload in PAYLOADS} <= {text[-CONTEXT:] for text in before}
    assert {plain(f", {payload}", CONTEXT) for payload in PAYLOADS} <= {plain(text, CONTEXT) for text in after}
    (authors,) = await looked.texts(".words-line .meta bdi")
    assert {plain(payload, CONTEXT) for payload in PAYLOADS} <= {plain(text, CONTEXT) for text in authors}
    for payload in PAYLOADS[::25]:
        await looked.at(f"/review/words?{urlencode({'name': normalise(payload), 'type': 'ORG'})}")
        await expect(page.locator(".words-line").first).to_be_visible()
        await looked.have([payload], ".words-line mark")


async def review(looked: Looked, settings: Settings) -> None:
    """Answers all questions of the posts that hold many texts, and looks at each question."""
    page, left = looked.page, {f"{' '.join(pack)} Paris": pack for pack in packs(NAME)}
    await looked.at("/review")
    await page.locator("#review[data-state=task]").wait_for()
    while left:
        text = await shown(page)
        pack = left.pop(plain(text, 10**5))
        whole = " ".join(pack)
        for selector, wanted in REVIEWED.items():
            await looked.have([wanted.format(whole)], selector)
        await looked.have(pack, ".regions .text q")
        await looked.clean()
        for words in (*pack, "Paris"):
            await page.wait_for_function(ASKED, arg=words)
            await page.keyboard.press("a")
        await moved_on(page, text)
        await looked.have(pack, ".past-list li:first-child .past-answer bdi")
    await sent(page)


async def overview(looked: Looked, settings: Settings) -> None:
    """Eight dead letters at a time, and the sources with the most answers."""
    stage, reasons = "extract", [" ".join(pack) for pack in packs()]
    await asyncio.to_thread(die, settings, [(stage, reason) for reason in reasons])
    await answer(settings, {payload[:64]: "+" * (place + 1) for place, payload in enumerate(PAYLOADS[:8])})
    page = looked.page
    await looked.at("/")
    while not await page.locator(".reasons li").count() or await page.locator(".levels .precision-row").count() < 9:
        await asyncio.sleep(0.2)
        await looked.at("/")
    await looked.clean()
    shown_reasons = {plain(stable(reason), 120) for reason in reasons}
    (found, sources, levels) = await looked.texts(
        ".reasons li > span:first-child", ".heat th", ".levels .precision-row"
    )
    assert found
    assert {text.removesuffix(" in extract") for text in found if text != "others"} <= shown_reasons
    assert levels
    assert len({plain(payload[:64], 40) for payload in PAYLOADS} & set(sources)) > 5
