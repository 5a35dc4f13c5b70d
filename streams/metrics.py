"""The metrics of a worker: what each means, and when it matters. Label values are kinds, never hosts or URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from core.errors import UserError

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)

# Events that an agent has finished and acknowledged to Kafka. If the lag grows and this does not, the agent is stuck.
ACKNOWLEDGED = Counter("mner_acknowledged", "events acknowledged", ["agent"])

# Acknowledged events that became dead letters. A rise after a deployment means that the deployment is bad.
DEAD = Counter("mner_dead_letters", "events that became dead letters", ["agent"])

# Dead letters that are the fault of the event itself, such as a line that is no JSON. They never stop a worker.
BAD = Counter("mner_bad_events", "events that became dead letters for what they hold", ["agent"])

# Bad events since the last event that was not bad. While it grows, what writes to the agent's topic writes nothing
# that can be read, such as a file in UTF-16.
BAD_RUN = Gauge("mner_bad_events_run", "bad events in a row, up to now", ["agent"])

# Events taken and not yet acknowledged. If this stays at MNER_IN_FLIGHT, a stage or a server is the bottleneck.
IN_FLIGHT = Gauge("mner_in_flight", "events taken and not yet acknowledged", ["agent"])

# Partitions that were read from another offset than the committed one. reason: beyond (the log ends before it), cut
# (the log was cut and has grown again), recreated (the topic was deleted and made again), expired (retention was faster
# than the worker: those records are lost). slipped, missed and deaf are faults of ours or of a library: nothing was
# lost.
OFFSET_RESETS = Counter("mner_offset_resets", "partitions not read from their committed offset", ["agent", "reason"])

# Partitions in which a transaction has been open for more than a minute. Kafka delivers nothing behind it. Its producer
# has perhaps died.
HELD_BACK = Gauge("mner_partitions_held_back", "partitions held back by an open transaction", ["agent"])

# Side fields of posts (all but id and text) that were cut, changed or left out. field is the field's name, reason why.
# When one grows, a feed has changed its format: docs/events.md says what each reason means.
LEFT_OUT = Counter("mner_left_out", "side fields cut, changed or left out", ["field", "reason"])

# Posts that the model does not read. reason: no_words (the text is blank, or the post has only media).
PASSED_OVER = Counter("mner_passed_over", "posts that the model does not read", ["reason"])

# Posts with the id and edit of another post in the index, and another text. They become dead letters. Each one means
# that feeds of several servers use the same ids, or that a feed sends edited posts without a higher edit.
COLLISIONS = Counter("mner_collisions", "posts with the id and edit of another post")

# Mentions by route: index (confident), review (uncertain), candidate (not chosen by the model, but asked about).
# Counted for each document that the index accepts. An edit or a new model version counts again; a replay does not.
# review / (index + review) is the share of mentions that people see. When it grows, the posts differ from those that
# the thresholds were chosen on.
MENTIONS = Counter(
    "mner_mentions",
    "mentions by route: index, review or candidate (until 0.3 also possible, its old name; leave that out of sums)",
    ["route"],
)

# For each post, the share of validation posts that are at least as unusual. Of posts that resemble the validation
# posts, a tenth lies below 0.1. When many more do, the stream is out-of-distribution and the threshold's promise does
# not hold for it. Then calibrate on posts of this stream, or better, train on them.
TYPICALITY = Histogram("mner_typicality", "posts by typicality, a conformal p-value", buckets=SHARES)

OLD_TYPICALITY = Histogram("mner_tweet_familiar", "deprecated: use mner_typicality", buckets=SHARES)

# First photos of posts. status is ok, failed or none (the post has no photo); kind is the kind of refusal. The kind
# that grows shows the cause: the internet (timeout, unreachable), one platform (http_status, host_down) or this
# worker (internal, busy, ...).
IMAGES = Counter("mner_images", "photos by outcome", ["status", "kind"])

# Time from asking for an image to its pixels or its refusal. It includes the wait for a slot. Images from the cache
# count too.
IMAGE_SECONDS = Histogram("mner_image_seconds", "seconds to get one image, waiting included", buckets=SECONDS)

# Bytes of the response bodies that arrived, those of refused images included. Divided by the number of images, they
# show the traffic per image.
IMAGE_BYTES = Counter("mner_image_bytes", "bytes of image files fetched")

# Outcome of the cache for a URL: hit, revalidated (HTTP 304), stale (used because the server failed), miss, negative
# (a remembered refusal), shared (another request was fetching it). Few hits despite many reposts mean that the cache is
# too small.
CACHE = Counter("mner_image_cache", "image URLs by outcome of the cache", ["outcome"])

# Fetched bodies that the cache already had, under this or another URL. They are neither decoded nor stored again.
KNOWN = Counter("mner_image_known", "fetched images whose bytes the cache already had")

# Operations on a cache's file (images, vision) that were given up. fault is error (the file is locked, full, read-only
# or damaged), hangs (one operation did not end) or busy (the disk cannot keep up). After error and hangs, the worker
# does not use the file for a while. busy skips one operation.
CACHE_FAULTS = Counter("mner_cache_faults", "operations on a cache's file that were given up", ["file", "fault"])

# Requests repeated after a failure that may pass. Many mean that a host or this worker's network has problems.
RETRIES = Counter("mner_image_retries", "repeated requests for an image")

# How often a host was left alone for a while, because it had failed many times in a row.
BREAKERS = Counter("mner_image_breakers_opened", "hosts left alone after many failures in a row")

# Decoding processes replaced because a file, their limits or the deadline ended them. A sudden rise
# suggests an attack.
DECODER_RESTARTS = Counter("mner_image_decoder_restarts", "restarts of processes that decode images")

# Outcome of each vision channel for each image: read, cached, near (taken from a near-duplicate), or why nothing was
# read: absent, busy, timeout, unavailable, no_pixels, failed, closed, internal.
VISION = Counter("mner_vision", "images by vision channel and outcome", ["channel", "outcome"])

# Time from handing an image to the vision models to its context, waiting included. Counts only images that were read.
VISION_SECONDS = Histogram("mner_vision_seconds", "seconds to read one image, waiting included", buckets=(*SECONDS, 60))


def count_mentions(route: str, count: int = 1) -> None:
    """Counts mentions by route. Until release 0.3, candidates also count as `possible`, their old route name."""
    MENTIONS.labels(route).inc(count)
    if route == "candidate":
        MENTIONS.labels("possible").inc(count)


def observe_typicality(typicality: float) -> None:
    """Observes a post's typicality under the new name and the old one."""
    TYPICALITY.observe(typicality)
    OLD_TYPICALITY.observe(typicality)


@contextmanager
def served(listener: str | None) -> Iterator[None]:
    """Serves the metrics to Prometheus on `listener` (host:port), in a thread. None serves nothing.

    Raises `UserError` when the address cannot be used.
    """
    if listener is None:
        yield
        return
    host, _, port = listener.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"))
    except OSError as error:
        raise UserError(f"MNER_METRICS={listener!r}: {error.strerror}; name another host:port") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
