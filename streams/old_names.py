"""Variables that are no settings any more, or never were. Each gets one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from functools import cache

log = logging.getLogger(__name__)

RENAMED = {"MNER_POSSIBLE": "MNER_CANDIDATE_THRESHOLD", "MNER_VISION": "MNER_VISION_CHANNELS"}
"""Old name of a variable -> new name. The old names work until release 0.3."""

CONSTANTS = (
    "MNER_COMMIT_INTERVAL_S",
    "MNER_DELIVER_BATCH",
    "MNER_DELIVER_WAIT_MS",
    "MNER_IMAGE_BREAK_AFTER",
    "MNER_IMAGE_BREAK_S",
    "MNER_IMAGE_CACHE_FAILED_S",
    "MNER_IMAGE_TRIES",
    "MNER_IMAGE_WAIT_S",
    "MNER_LEASE_S",
    "MNER_RETRY_MAX_S",
    "MNER_VISION_NEAR",
    "MNER_VISION_QUEUE",
)
"""Settings of release 0.1 that became constants."""


def settle(variables: Mapping[str, str | None], groups: Set[str]) -> dict[str, str | None]:
    """Returns the variables under their new names, without blank ones and those that are named as a group of settings.

    pydantic-settings would read such a variable as JSON for the whole group. `groups` and `variables` have lower-case
    names, the groups as in `mner_image`.
    """
    variables = {name: value for name, value in variables.items() if value is None or value.strip()}
    renamed = {old.lower(): new.lower() for old, new in RENAMED.items()}
    for old in sorted(renamed.keys() & variables.keys()):
        warn_once(f"{old.upper()} is now called {renamed[old].upper()}. The old name works until release 0.3.")
    for name in CONSTANTS:
        if name.lower() in variables:
            warn_once(f"{name} is ignored. It is a constant since release 0.2.")
    for name in sorted(groups & variables.keys() - renamed.keys()):
        warn_once(f"{name.upper()} is ignored. It is no setting, but the first part of several settings' names.")
    current = {name: value for name, value in variables.items() if name not in renamed and name not in groups}
    return {renamed[name]: value for name, value in variables.items() if name in renamed} | current


@cache
def warn_once(line: str) -> None:
    log.warning("%s", line)
