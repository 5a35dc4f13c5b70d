"""How long a scripted reviewer reads, thinks and presses. All times are drawn from a seed.

Reading: adults read English non-fiction silently at 238 words a minute, most of them at 175 to 300 (Brysbaert, "How
many words do we read per minute?", Journal of Memory and Language 109, 2019). Thinking and pressing: the operators M
and K of the keystroke-level model, 1.35 s and, for an average typist, 0.28 s (Card, Moran and Newell, "The
keystroke-level model for user performance time with interactive systems", Communications of the ACM 23(7), 1980). The
sources give means. Here each time is lognormal around its mean, as people's times are skewed to the right.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping

WORDS_A_MINUTE, READING_SPREAD = 238.0, 0.2
MENTAL_S, MENTAL_SPREAD = 1.35, 0.4
KEY_S, KEY_SPREAD = 0.28, 0.2
"""Means, and the standard deviations of the logarithms."""


class Person:
    """Somebody at a keyboard. `paused_s` is the sum of all pauses so far, as they really were."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.paused_s = 0.0
        self.pressed = 0

    async def read(self, text: str) -> None:
        """Reads every word of a text once."""
        await self._pause(len(text.split()) * 60 / WORDS_A_MINUTE, READING_SPREAD)

    async def think(self) -> None:
        """Makes up their mind once."""
        await self._pause(MENTAL_S, MENTAL_SPREAD)

    async def move(self) -> None:
        """Moves a finger to a key. The press itself is the caller's."""
        self.pressed += 1
        await self._pause(KEY_S, KEY_SPREAD)

    def choose(self, shares: Mapping[str, float]) -> str:
        """Returns one of the names, each as often as its share says."""
        return self.dice.choices(list(shares), list(shares.values()))[0]

    async def _pause(self, mean_s: float, spread: float) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        await asyncio.sleep(mean_s and self.dice.lognormvariate(math.log(mean_s) - spread**2 / 2, spread))
        self.paused_s += clock() - began
