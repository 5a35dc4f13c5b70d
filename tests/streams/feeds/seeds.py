"""Runs the contract over many seeds and all sources: `python -m tests.streams.feeds.seeds --seeds 20`.

All runs feed the same topics. At the end, one worker reads them, and each post must be in the sinks once.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from local.stack import Stack
from streams.settings import Settings
from tests.conftest import settings_for
from tests.streams.account import books, until_caught_up
from tests.streams.conftest import started
from tests.streams.feeds.contract import check
from tests.streams.feeds.platforms import all_platforms


async def assert_in_sinks(settings: Settings, names: set[str], last: dict[str, str], folder: Path) -> None:
    """Runs a worker until it has read everything. Asserts that each post of each source is there once.

    It has one document, which holds the last edit, and at most one task. `last`: id of an edited post -> its last text.
    """
    with started(folder) as start:
        await asyncio.to_thread(start, settings, only=("extract", "deliver"))
        await until_caught_up(settings, timeout_s=1800.0)  # some 48,000 records after 20 seeds
        found = await books(settings)  # which asserts that no post has two documents
    documents = set(found.documents)
    assert documents == names, (sorted(names - documents)[:5], sorted(documents - names)[:5])
    old = [name for name, text in last.items() if found.documents[name]["_source"]["text"] != text]
    assert not old, f"the index holds an earlier edit: {old[:5]}"
    assert all(count == 1 for count in found.tasks.values())
    others = [letter for letter in found.dead if letter.stage != "feed"]
    assert not others, (len(others), others[:2])


def main(
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 20,
    first: Annotated[int, typer.Option(help="The first seed.")] = 1,
    only: Annotated[str | None, typer.Option(help="Name of one source.")] = None,
) -> None:
    """Feed each source with each seed's faults into a real broker, and check what arrives."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        settings = settings_for(stack.addresses, Path(folder)).changed(
            partitions=2, model_factory="tests.streams.stub_model:load", threshold=0.5
        )
        by_source: dict[str, set[str]] = defaultdict(set)
        last: dict[str, str] = {}
        for platform in all_platforms():
            if only not in {None, platform.name}:
                continue
            for seed in range(first, first + seeds):
                home = Path(folder) / f"{platform.name}-{seed}"
                home.mkdir()
                began = time.monotonic()
                served = platform(seed)
                try:
                    found = check(served, settings.changed(home=home))
                except Exception:
                    failed += 1
                    print(f"{platform.name:10} seed {seed:3} FAILED")
                    traceback.print_exc(limit=3)
                    continue
                by_source[platform.name] |= {name for name, _ in served.posts}
                last |= served.last
                said = f"{len(found.posts)} posts, {len(found.events)} lifecycle, {len(found.letters)} dead letters"
                print(f"{platform.name:10} seed {seed:3} {time.monotonic() - began:5.1f} s  {said}", flush=True)
        if not failed:
            began = time.monotonic()
            names = set[str]().union(*by_source.values())
            asyncio.run(assert_in_sinks(settings, names, last, Path(folder)))
            said = ", ".join(f"{source} {len(ids)}" for source, ids in by_source.items())
            print(f"{len(names)} posts, each in the sinks once: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    typer.run(main)
