"""Places in texts: Python and the browser cut the same strings, and follow the same rules for spans and answers."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.async_api import Page

from core.events import ENTITY_TYPES, EntityType, Mention
from core.terms import UNLISTED
from desk.pages import static
from desk.review.telling import inner, tell
from review.segments import segments
from review.span import Span, first_free
from review.work import InvalidAction, Work, begin
from sinks.queue.values import Claim
from tests.desk.review.made import task_of

PIECES = [
    *("Paris", "isn't", " ", "  ", "\n", "#", "@", ".", "’", "-"),
    *(
        "🗽",
        "👩‍👩‍👧‍👦",
        "👍🏽",
        "🇫🇷🇩🇪",
        "🇫",
        "❤️",
        "e\u0301",
        "न्द्र",
        "ก่อน",
        "กรุงเทพ",
        "한국어",
        "서울",
        "東京",
        "とうきょう",
    ),
    *(
        "العَرَبِيَّة",
        "שָׁלוֹם",
        "\u200f",
        "\u202e",
        "\u200d",
        "\u0000",
        "\u0007",
        "\u001b[31m",
        "\u0301",
        "\u2028",
        "\ufeff",
        "𝒜𝓁𝒾",
        "\U0010ffff",
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), min_size=1, max_size=12).map("".join).filter(bool)
MOVES = st.lists(st.sampled_from("rl><t"), max_size=12)


def moved(span: Span, moves: list[str]) -> Span:
    for move in moves:
        step: Literal[-1, 1] = 1 if move in "r>" else -1
        span = span.switch() if move == "t" else span.by_word(step) if move in "rl" else span.by_character(step)
    return span


async def test_offsets_cut_the_same_string_and_spans_move_alike(desk: str, page: Page) -> None:
    cases: list[dict[str, Any]] = []

    @settings(max_examples=400)
    @given(TEXTS, MOVES, st.data())
    def make(text: str, moves: list[str], data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        now, free = moved(Span(text, start, end), moves), first_free(text, [(start, end)])
        units = len(text[:start].encode("utf-16-le")) // 2
        cases.append(
            {
                "text": text,
                "words": [(word.start, word.end, word.is_word) for word in segments(text)],
                "inner": inner(text),
                "start": start,
                "end": end,
                "unit": units,
                "moves": moves,
                "cut": text[start:end],
                "moved": [now.start, now.end, now.edge, now.covered],
                "free": [free.start, free.end],
            }
        )

    make()
    await page.goto(desk)
    wrong = await page.evaluate(
        """async ([address, cases]) => {
             const s = await import(address);
             const wrong = [];
             for (const c of cases) {
               const text = new s.Text(c.text, c.words, c.inner);
               let span = { start: c.start, end: c.end, edge: "end" };
               for (const move of c.moves) {
                 const step = "r>".includes(move) ? 1 : -1;
                 if (move === "t") span = s.switchEdge(span);
                 else span = "rl".includes(move) ? s.byWord(text, span, step) : s.byCharacter(text, span, step);
               }
               const free = s.firstFree(text, [[c.start, c.end]]);
               const snapped = s.snap(text, c.start, c.end);
               const edges = new Set([...text.edges, ...c.words.flatMap(([start, end]) => [start, end])]);
               const found = {
                 cut: text.slice(c.start, c.end),
                 unit: s.toUnit(c.text, c.start),
                 units: c.text.slice(s.toUnit(c.text, c.start), s.toUnit(c.text, c.end)),
                 point: s.toPoint(c.text, c.unit),
                 moved: [span.start, span.end, span.edge, text.slice(span.start, span.end)],
                 free: [free.start, free.end],
                 snapped: snapped.start < snapped.end && edges.has(snapped.start) && edges.has(snapped.end),
               };
               const right = {
                 cut: c.cut,
                 unit: c.unit,
                 units: c.cut,
                 point: c.start,
                 moved: c.moved,
                 free: c.free,
                 snapped: true,
               };
               if (JSON.stringify(found) !== JSON.stringify(right)) wrong.push({ text: c.text, found, right });
             }
             return wrong.slice(0, 3);
           }""",
        [static("spans.js"), cases],
    )
    assert len(cases) >= 400
    assert wrong == []


def asked_about(text: str, start: int, end: int, kind: EntityType) -> Mention:
    words = text[start:end]
    return Mention(start=start, end=end, text=words, type=kind, probability=0.5, aleatoric=0.1, epistemic=0.1)


def state(work: Work) -> list[Any]:
    def span(mention: Mention | None) -> list[Any] | None:
        return [mention.start, mention.end, mention.type] if mention else None

    items = [[span(item.before), span(item.after), item.answered, item.superseded] for item in work.items]
    return [items, work.cursor, work.done]


def acted(work: Work, action: list[Any]) -> tuple[Work, bool]:
    """Returns the work after an action, and whether the action made sense."""
    name, *values = action
    try:
        if name in {"accept", "reject", "undo"}:
            return getattr(work, name)(), True
        return getattr(work, name)(*values), True
    except InvalidAction:
        return work, False


async def test_answers_follow_the_rules_of_the_terminal(desk: str, page: Page) -> None:
    text = "NASA and the Jet Propulsion Laboratory in Pasadena, California 🗽"
    places = st.tuples(st.integers(0, 20), st.integers(1, 12)).map(
        lambda at: (at[0] * 3, min(at[0] * 3 + at[1], len(text)))
    )
    types = st.sampled_from(ENTITY_TYPES)
    action = st.one_of(
        st.sampled_from([["accept"], ["accept"], ["reject"], ["undo"], ["move", 1], ["move", -1]]),
        types.map(lambda chosen: ["retype", chosen]),
        st.tuples(places, types).map(lambda it: ["respan", *it[0], it[1]]),
        st.tuples(places, types).map(lambda it: ["add", *it[0], it[1]]),
    )
    cases: list[dict[str, Any]] = []

    @settings(max_examples=200)
    @given(st.lists(st.tuples(places, types), min_size=1, max_size=5, unique=True), st.lists(action, max_size=14))
    def make(spans: list[tuple[tuple[int, int], Any]], actions: list[list[Any]]) -> None:
        asked = [
            Mention(
                start=start, end=end, text=text[start:end], type=kind, probability=0.5, aleatoric=0.1, epistemic=0.1
            )
            for (start, end), kind in spans
        ]
        task = task_of("1", text, *asked)
        told = tell(Claim(task, "ana", "0" * 16, 0.0), UNLISTED).model_dump(mode="json")
        work, states = begin(task), []
        for each in actions:
            work, made_sense = acted(work, each)
            states.append([made_sense, state(work)])
        cases.append({"task": told, "actions": actions, "states": states})

    make()
    await page.goto(desk)
    wrong = await page.evaluate(
        """async ([address, cases]) => {
             const w = await import(address);
             const span = (mention) => mention && [mention.start, mention.end, mention.type];
             const state = (work) => [
               work.items.map((item) => [span(item.before), span(item.after), item.answered, item.isSuperseded]),
               work.cursor,
               w.isDone(work),
             ];
             const wrong = [];
             for (const { task, actions, states } of cases) {
               let work = w.begin(task);
               const found = actions.map(([name, ...values]) => {
                 try {
                   const next = w[name](work, ...values);
                   if (!next) return [false, state(work)];
                   work = next;
                   return [true, state(work)];
                 } catch (error) {
                   if (!(error instanceof w.Impossible)) throw error;
                   return [false, state(work)];
                 }
               });
               const kept = state(w.resume(task, w.answersOf(work)))[0].map(String).sort();
               if (String(kept) !== String(state(work)[0].map(String).sort())) wrong.push({ kept, actions });
               if (JSON.stringify(found) !== JSON.stringify(states)) wrong.push({ actions, found, states });
             }
             return wrong.slice(0, 2);
           }""",
        [static("work.js"), cases],
    )
    assert len(cases) >= 200
    assert wrong == []
