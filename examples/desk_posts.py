"""Makes invented posts that look like two weeks of a live stream, for the screenshots of the desk and for trying it.

    python -m examples.desk_posts > posts.jsonl

The same seed gives the same posts, except for their dates: the two weeks end at `--until`, by default now.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from core.events import EntityType

AUTHORS = (
    *("marlen", "tobias.k", "harborlight", "nightbus", "ines_writes", "old.maps", "fieldnotes", "salt&pepper", "kofi"),
    *(
        "lena_m",
        "quietcarriage",
        "thirdperiod",
        "grain",
        "paperboats",
        "jun",
        "north_stand",
        "cassette",
        "osei",
        "vera",
    ),
    *(
        "Deniz",
        "slow.travel",
        "amara_o",
        "platform9",
        "rui",
        "the_understudy",
        "mwangi",
        "Halina",
        "tidepool",
        "okonjo",
    ),
    *("leftback", "Yuki", "corner.table", "ricardo_s", "nadia", "weatherwatch", "bea", "longplay", "stefan", "ngozi_w"),
)
SOURCES = {"bluesky": 9, "mastodon:social.example": 4, "mastodon:news.example": 3, "rss:wire": 2, "file:archive": 1}
"""Source -> its weight."""

IMAGES = {
    "Eileen Collins": ("astronaut.jpg", "An astronaut in an orange suit before a flag"),
    "Hubble": ("hubble.jpg", "Thousands of galaxies on a black sky"),
    "Cape Canaveral": ("rocket.jpg", "A rocket on its launch pad at night"),
    "Chelsea": ("chelsea.jpg", "A ginger cat looks past the camera"),
    "coffee": ("coffee.jpg", "A cup of coffee on a wooden table"),
    "MIT": ("camera.webp", "A man with a camera on a tripod on a lawn"),
    "The board": ("departures.png", "A departure board in a station"),
}
"""Words of a post -> file in `examples/images` and its description."""

TOPICS: dict[str, tuple[str, ...]] = {
    "space": (
        "{agency} says the next crew will fly from {pad} in {month}",
        "Watching the launch from {pad} with my dad, he still talks about {astronaut} 🚀",
        "New picture from {telescope}: so many galaxies in one patch of sky",
        "{astronaut} on the radio this morning. What a voice, what a life. #{agency}",
        "{agency} and {agency2} sign a deal on the lunar station, {person} calls it overdue",
        "so {company} delayed it AGAIN?? {pad} was packed",
        "Talk at {university} tonight: what {telescope} taught us about the early universe",
        "{telescope} found water vapour on a planet 120 light years away. I need to sit down",
        "My daughter wants to be {astronaut} for carnival. We own no orange. Help",
        "{agency} streams the docking at 21:40, {person} from {university} explains it live",
        "Clouds over {pad}, the window closes in ten minutes...",
    ),
    "football": (
        "{club} 2, {club2} 1. {player} with the winner in the 88th minute",
        "{player} to {club}? My cousin works near {city} airport and swears he saw him",
        "nobody defends like {club2} and I say that as a {club} fan",
        "{club} fans singing all the way through {city} station 😂",
        "Full time in {city}. {player} limps off, {club} through to the semi-finals #{club_tag}",
        "{Washington/PER} was outstanding in goal tonight, what a save",
        "{Jordan/PER} again with the assist. {club} are a different team with him",
        "{club2} sell {player} and then wonder why nobody scores. Genius",
        "Is the {club} game on anywhere in {city}? Every pub shows the cricket",
        "{player} said it himself: {club} never called back. {club2} did",
        "Can't believe I paid 90 quid to watch {club} pass sideways",
    ),
    "politics": (
        "{politician} meets {politician2} in {city} over the grain deal",
        "Parliament in {city} votes on the budget on {weekday}, {party} split down the middle",
        "{politician} lands in {country} for a visit of two days",
        "The {organisation} warns of a cold winter in {country}",
        "Protest outside the {organisation} building in {city}, hundreds already there",
        "{Jordan/LOC} hosts the talks this time, delegations from {country} and {country2} expected",
        "{Washington/LOC} keeps silent on the talks. {politician2} does not",
        "{politician2} on the evening news: no new money for {country2} before {month}",
        "Queue at the polling station in {city} goes round the block, never seen that",
        "{party} want a second vote in {month}. {politician} laughs",
        "The {organisation} moves 300 jobs from {city2} to {city}, the mayor is furious",
    ),
    "music": (
        "{band} at {venue} in {city} was the best two hours of my year",
        "new {band} record on repeat. Track four is {singer} at her best",
        "{singer} cancels {city}, tour goes on in {country}",
        "Found a {band} first pressing in a shop in {city} for 4 euros!!",
        "{singer} and {band} on the same evening at {festival}, how do I choose",
        "Somebody in {city2} is busking {band} songs on a cello and I missed two buses",
        "{festival} line-up is out: {singer}, {band}, and a slot for whoever {person} is",
        "Third encore!! {singer} you are not human",
    ),
    "technology": (
        "{company} opens a lab in {city}, 200 people, {person} will lead it",
        "{company} vs {company2} over the patents again, see you in court in {city}",
        "my {product} died after the update, thanks {company}",
        "{person} leaves {company} for {company2}. Did not see that one coming",
        "Apple pie recipe from a {company} engineer. Yes, that is where we are now",
        "{university} researchers find a hole in {product}, fix is out",
        "Day 9 of waiting for {company2} support to call me back about the {product}",
        "{company} shares down 7% after {person} walks. {company2} up. Funny how that goes",
        "Free course on compilers from {university}, starts in {month}",
    ),
    "city": (
        "Rain over {city} since Monday, the {river} is rising",
        "Best coffee in {city}? Go to the little place behind {station}",
        "Trains between {city} and {city2} stand still, signal fault near {station}",
        "The board at {platform} says everything to {Hamburg/LOC} is late. Everything. Thanks, {rail}",
        "Moved to {city} a year ago today. Miss {city2}, but not its rents",
        "{Santiago/PER} is the kindest neighbour one could have",
        "{Santiago/LOC} in spring, the {Andes/LOC} white behind the towers",
        "{museum} in {city} shows {painter} until {month}, go on a {weekday}",
        "Cycled along the {river} from {city} to {city2}. My legs have filed a complaint",
        "Lost: grey cat, answers to {Paris/PER}, last seen near {station}. Please share",
        "Flat in {city}, third floor, view of the {river}. 1400 a month. For a cupboard",
    ),
}
NEWS = (
    "{ESA/ORG} launches from {Kourou/LOC} on {weekday}, {Samantha Cristoforetti/PER} on board",
    "Everyone at {company} watches {Kourou/LOC} instead of working",
    "{Samantha Cristoforetti/PER} waves to the cameras in {Kourou/LOC}, half of {city} waves back",
    "Scrubbed. {ESA/ORG} tries again from {Kourou/LOC} on {weekday}. {person} was so close to tears",
    "{agency2} congratulates {ESA/ORG} before the rocket has even left {Kourou/LOC} 😅",
    "Big screen near {station} in {city} for the {ESA/ORG} launch, bring blankets",
    "{university} students cut classes for {Samantha Cristoforetti/PER}. Allowed",
    "My neighbour in {city} built the valve that stopped the launch in {Kourou/LOC}. He is hiding",
    "{politician2} flies to {Kourou/LOC} for the launch, {party} ask who pays",
    "Third attempt from {Kourou/LOC}, {Samantha Cristoforetti/PER} plays {band} in the capsule",
    "{ESA/ORG} says {telescope} will watch the launch from {Kourou/LOC}. I love this timeline",
)
"""What half of the posts of the last three days are about, so that some names trend."""

TAILS = (" 🙄", " lol", ". Honestly", "...", ", wow", " 👏", ", just saying", " #news", ". Who else?", "!!")
"""Ends of some posts, so that fewer of them are equal."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "de": (
        "Zwei Stunden Verspätung in {city2}, und {person} redet von der Verkehrswende",
        "{club} gegen {club2}, und ich habe Nachtschicht. Na toll",
        "{politician} kommt nach {city}, die Innenstadt ist gesperrt",
    ),
    "pt": (
        "{singer} em {city}! Bilhetes esgotados em dez minutos",
        "O {club} ganhou outra vez, e o {player} nem jogou",
        "Chove em {city} desde domingo, o {river} já subiu",
    ),
    "es": (
        "{player} no juega contra el {club2}, dice el club",
        "Mañana llega {politician2} a {city}. Todo cerrado",
        "Nunca vi un cielo así: foto de {telescope}",
    ),
    "fr": (
        "Deux heures de retard à {station}, merci pour rien",
        "{politician2} parle ce soir, et le match de {club} est sur l'autre chaîne",
        "Le concert de {band} à {city} : le plus beau de ma vie",
    ),
}
"""Language -> posts in it, one in eight."""

KINDS: dict[EntityType, dict[str, tuple[str, ...]]] = {
    "PER": {
        "astronaut": ("Eileen Collins", "Samantha Cristoforetti", "Chris Hadfield", "Mae Jemison"),
        "person": ("Ada Okafor", "Lin Zhao", "Marek Nowak", "Priya Raman"),
        "player": ("Drogba", "Van Dijk", "Sam Kerr", "Modrić", "Son Heung-min"),
        "politician": ("Angela Merkel", "Joko Widodo", "Jacinda Ardern", "Lula da Silva"),
        "politician2": ("Emmanuel Macron", "Ursula von der Leyen", "Nana Akufo-Addo"),
        "singer": ("Björk", "Rosalía", "Angélique Kidjo", "Beyoncé"),
        "painter": ("Frida Kahlo", "Hokusai", "Vermeer"),
    },
    "LOC": {
        "pad": ("Cape Canaveral", "Kourou", "Baikonur", "Boca Chica"),
        "city": ("Berlin", "Lagos", "Lisbon", "Toronto", "Kyoto", "Nairobi", "São Paulo", "Glasgow", "Łódź"),
        "city2": ("Hamburg", "Porto Alegre", "Osaka", "Accra", "Montréal"),
        "country": ("Ukraine", "Kenya", "Portugal", "Japan", "Chile"),
        "country2": ("Egypt", "Norway", "Qatar"),
        "venue": ("Paradiso", "the Royal Albert Hall", "Roskilde"),
        "river": ("Spree", "Tagus", "Clyde", "Elbe"),
        "platform": ("Gesundbrunnen", "Südkreuz", "Spandau", "Ostkreuz"),
        "station": ("Alexanderplatz", "Rossio", "Queen Street", "Union Station"),
    },
    "ORG": {
        "agency": ("NASA", "NASA", "NASA", "ESA", "ESA", "JAXA"),
        "agency2": ("ISRO", "CSA", "the European Space Agency"),
        "company": ("SpaceX", "Siemens", "Nokia", "Samsung", "Airbus", "IBM", "Sony"),
        "company2": ("Intel", "Ericsson", "Huawei", "Boeing"),
        "university": ("MIT", "ETH Zurich", "the University of Cape Town", "Oxford"),
        "club": ("Chelsea", "Chelsea", "Ajax", "Benfica", "Celtic", "Dortmund"),
        "club2": ("Arsenal", "Porto", "Rangers", "Schalke", "PSV"),
        "party": ("the Greens", "Labour", "the Liberals"),
        "organisation": ("United Nations", "World Bank", "WHO", "European Commission", "Red Cross"),
        "rail": ("Deutsche Bahn", "Flixtrain", "Metronom"),
        "band": ("Radiohead", "Arcade Fire", "Tinariwen", "The Cure"),
        "museum": ("The Tate", "MoMA", "The Rijksmuseum"),
    },
    "MISC": {
        "telescope": ("Hubble", "James Webb", "Euclid"),
        "festival": ("Glastonbury", "Primavera", "Fuji Rock"),
        "product": ("Galaxy", "ThinkPad", "PlayStation", "Windows"),
    },
}
PLAIN: dict[str, tuple[str, ...]] = {
    "club_tag": ("COYG", "Ajax", "CFC", "BVB"),
    "month": ("March", "June", "October"),
    "weekday": ("Tuesday", "Thursday", "Sunday"),
}
"""Words that are no entities for the reviewers of the screenshots."""

SLOTS: dict[str, tuple[EntityType | None, tuple[str, ...]]] = {
    **{slot: (kind, words) for kind, slots in KINDS.items() for slot, words in slots.items()},
    **{slot: (None, words) for slot, words in PLAIN.items()},
}
SLOT = re.compile(r"\{([^}/]+)(?:/([A-Z]+))?\}")
DAYS = 14
BY_HOUR = (3, 2, 1, 1, 1, 2, 4, 8, 11, 10, 9, 9, 11, 11, 9, 9, 10, 12, 14, 16, 17, 15, 11, 6)
"""How many posts people write in each hour of the day, in UTC."""

Mark = tuple[int, int, EntityType]
"""A span in code points, and what it is."""


@dataclass(frozen=True)
class Made:
    """A post, and what a careful reader would mark in it."""

    post: dict[str, Any]
    marks: tuple[Mark, ...]


def write(template: str, chance: random.Random) -> tuple[str, tuple[Mark, ...]]:
    """Returns the text of a template, and its entities. `{name}` is a slot; `{Name/PER}` stands for itself."""
    text, marks, done = "", list[Mark](), 0
    for slot in SLOT.finditer(template):
        kind, choices = (slot[2], (slot[1],)) if slot[2] else SLOTS[slot[1]]
        words = chance.choice(choices)
        text += template[done : slot.start()]
        if kind:
            start = len(text) + (len("the ") if words.startswith("the ") else 0)
            marks.append((start, len(text) + len(words), kind))  # type: ignore[arg-type]
        text, done = text + words, slot.end()
    return text + template[done:], tuple(marks)


def make(number: int, until: datetime, images: str = "", seed: int = 7) -> Iterator[Made]:
    """Yields posts in the order of their times, over two weeks before `until`. `images`: address of their images."""
    chance = random.Random(seed)
    hours = [until - timedelta(hours=ago) for ago in range(1, DAYS * 24 + 1)]
    weights = [BY_HOUR[hour.hour] for hour in hours]
    starts = chance.choices(hours, weights, k=number)
    moments = sorted(start + timedelta(seconds=chance.randrange(3600)) for start in starts)
    for place, moment in enumerate(moments):
        topic = chance.choice(list(TOPICS))
        has_news = until - moment < timedelta(days=3) and chance.random() < 1 / 2
        lang = chance.choice(list(ELSEWHERE)) if not has_news and chance.random() < 1 / 8 else "en"
        templates = NEWS if has_news else TOPICS[topic] if lang == "en" else ELSEWHERE[lang]
        text, marks = write(chance.choice(templates), chance)
        if lang == "en" and text[-1].isalnum() and chance.random() < 1 / 4:
            text += chance.choice(TAILS)
        author = chance.choice(AUTHORS)
        post: dict[str, Any] = {
            "id": f"{10_000 + place}",
            "text": text,
            "created_at": moment.isoformat(timespec="seconds"),
            "author": {"id": f"@{author}", "name": author},
            "lang": lang,
            "source": chance.choices(list(SOURCES), list(SOURCES.values()))[0],
        }
        named = [file for words, file in IMAGES.items() if words in text]
        if images and named and chance.random() < 0.6:
            file, alt = named[-1]
            post["media"] = [{"url": f"{images}/{file}", "type": "photo", "alt": alt}]
        yield Made(post, marks)


def posts(number: int, until: datetime, images: str = "", seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yields the posts of `make` alone."""
    return (made.post for made in make(number, until, images, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=800)
    parser.add_argument("--until", type=datetime.fromisoformat, default=datetime.now(UTC))
    parser.add_argument("--images", default="", help="address of a server of examples/images")
    options = parser.parse_args()
    for post in posts(options.number, options.until, options.images):
        sys.stdout.write(json.dumps(post, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
