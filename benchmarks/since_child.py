"""Extracts the same posts over and over with the code of one commit, started by `benchmarks.since`.

Reads a line of JSON: the folder of the checkpoint, the number of threads, and pairs of text and context. Answers with
what it found. Then each empty line is a round, and its answer is the CPU time and the time on the clock in seconds.
Only what all commits have in common is used.
"""

import gc
import inspect
import json
import sys
import time

from core.events import Mention, Tweet
from model.extractor import Extractor


def described(mention: Mention) -> tuple[int, int, str, float]:
    return mention.start, mention.end, mention.type, mention.probability


checkpoint, threads, posts = json.loads(sys.stdin.readline())
tweets = [Tweet(id=str(place), text=text) for place, (text, _) in enumerate(posts)]
contexts = [context for _, context in posts]
# before they were told apart, user names were read like any other word
convention = {"accounts": "mention"} if "accounts" in inspect.signature(Extractor.load).parameters else {}
extractor = Extractor.load(checkpoint, device="cpu", threads=threads, **convention)  # type: ignore[arg-type]
found = extractor.extract_all(tweets, contexts)
gc.collect()
gc.freeze()  # as the model's process does today
print(json.dumps([[list(map(described, part)) for part in (each.mentions, each.candidates)] for each in found]))
sys.stdout.flush()
for _ in sys.stdin:
    cpu, clock = time.process_time(), time.perf_counter()
    extractor.extract_all(tweets, contexts)
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - clock]), flush=True)
