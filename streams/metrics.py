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

# Time from the platform's word until our own stores obey it: Elasticsearch, Redis and this machine's caches. Other
# machines' caches and Kafka's compaction are not in it. Without a time of the platform, it counts from the event's
# record in Kafka. Counted when the event changed something, so a replay does not count. source is a listed one, or
# unknown.
ERASE_SECONDS = Histogram(
    "mner_erase_seconds",
    "seconds until a lifecycle event was applied",
    ["source"],
    buckets=(0.1, 1, 10, 60, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 18 * 3600, 24 * 3600),
)

# Time that the terms of a source give to delete a post: delete_within_hours, in seconds.
ERASE_DEADLINE = Gauge("mner_erase_deadline_seconds", "seconds that a source's terms give to delete a post", ["source"])

# Lifecycle events that were applied when more than half of the time of their source was over.
ERASE_NEAR = Counter("mner_erase_near_deadline", "lifecycle events applied in the last half of their time", ["source"])

# Age of the oldest event that an agent has taken and not yet acknowledged; 0 if there is none. Of the agent `erase`, it
# must stay far below the time that the platforms allow.
OLDEST = Gauge("mner_oldest_event_seconds", "age of the oldest event not yet acknowledged", ["agent"])

# Mentions by route: index (confident), review (uncertain), candidate (not chosen by the model, but asked about), audit
# (confident, and asked about as a spot check: they count under index as well).
# Counted for each document that the index accepts. An edit or a new model version counts again; a replay does not.
# review / (index + review) is the share of mentions that people see. When it grows, the posts differ from those that
# the thresholds were chosen on.
MENTIONS = Counter(
    "mner_mentions",
    "mentions by route: index, review or candidate. Leave these out of sums: audit (spot checks, which are in index as "
    "well), and until 0.3 possible (the old name of candidate)",
    ["route"],
)

# Uncertain mentions and candidates that no person is asked about. reason: terms (the source's terms let nobody see the
# text). They are in no other count of mentions.
UNASKED = Counter("mner_unasked", "uncertain mentions that no person is asked about", ["reason"])

# What was removed, or not taken, because its post is older than MNER_INDEX_RETENTION_DAYS. what: post (deleted from the
# index), task (deleted from the queue), extraction or decision (came too late, as in a replay).
EXPIRED = Counter("mner_expired", "posts, tasks, extractions and decisions that are too old", ["what"])

# Posts in the index without any date, so that their age is unknown. They stay. Posts read by version 0.2 may be such.
UNDATED = Gauge("mner_undated_posts", "posts in the index without a date")

# For each post, the share of validation posts that are at least as unusual. Of posts that resemble the validation
# posts, a tenth lies below 0.1. When many more do, the stream is out-of-distribution and the threshold's promise does
# not hold for it. Then calibrate on posts of this stream, or better, train on them.
TYPICALITY = Histogram("mner_typicality", "posts by typicality, a conformal p-value", buckets=SHARES)

OLD_TYPICALITY = Histogram("mner_tweet_familiar", "deprecated: use mner_typicality", buckets=SHARES)

# Posts that the model did not read, since it had read the same input before or reads it in the same batch. Divided by
# the posts, this is the share of model time that copies save.
REUSED = Counter("mner_predictions_reused", "posts that got the prediction of a copy")

# Tasks whose post is a copy. outcome: settled (by the decision on another copy), reopened (that decision was taken
# back) or asked (what a person marked cannot be found in this copy, so it is asked about on its own).
COPIES = Counter("mner_copies", "tasks of copies by outcome", ["outcome"])

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


# Messages that a feed received, and the records that it sent. kind: post, lifecycle (erase, hide, ...) or dead_letter.
FEED_RECEIVED = Counter("mner_feed_received", "messages that a feed received", ["source"])
FEED_SENT = Counter("mner_feed_sent", "records that a feed sent", ["source", "kind"])

# Messages of which nothing was sent, such as likes, or posts that a filter refuses.
FEED_SKIPPED = Counter("mner_feed_skipped", "messages of which a feed sent nothing", ["source", "reason"])

# Connections that ended. fault: network, http, rate_limit, silent (no sign of life for two heartbeats).
FEED_RECONNECTS = Counter("mner_feed_reconnects", "connections of a feed that ended", ["source", "fault"])

# Times at which a feed missed messages, or may have missed some. The topic feeds.gaps has each.
FEED_GAPS = Counter("mner_feed_gaps", "gaps in a feed", ["source"])

# Posts that X was read for, in the stream and in the search. X charges for each.
FEED_X_READS = Counter("mner_feed_x_reads", "posts that X was read for")

# Seconds between the platform's time of the last message and now.
FEED_LAG = Gauge("mner_feed_lag_seconds", "seconds that a feed lies behind its source", ["source"])


# Threshold in force of a source that has its own, for the checkpoint routed last. source is empty for the shared one.
# 1 means that every mention goes to a person.
THRESHOLD = Gauge("mner_threshold", "probability from which a mention is confident", ["source"])


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
