"""The one list of metrics: what each name means, and when it matters. Label values are kinds, never hosts or URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from core.errors import UserError

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# Tweets that an agent brought to their end, acknowledged to Kafka. A rate of zero while the topic's lag grows: stuck.
ACKNOWLEDGED = Counter("mner_acknowledged", "events acknowledged", ["agent"])

# Those of them that ended in the dead letters. A rise after a deployment means that the deployment is bad.
DEAD = Counter("mner_dead_letters", "events that ended in the dead letters", ["agent"])

# Taken and not yet acknowledged. At MNER_IN_FLIGHT for long: a stage or a server behind the agent is the bottleneck.
IN_FLIGHT = Gauge("mner_in_flight", "events taken and not yet acknowledged", ["agent"])

# Mentions by where routing sends them: index (confident), review (uncertain), possible (not chosen by the model, and a
# question all the same). Counted with each document that the index takes, whether or not the queue then asks: an edit
# or a release counts again; a replay does not, nor do questions that a repeated reading adds. review and possible, each
# over index + review, are the shares of the review budget; one that grows: the posts are not those that the thresholds
# were chosen on.
MENTIONS = Counter("mner_mentions", "mentions routed, by where they go", ["route"])

# Of each tweet that the model read, the share of the tweets it was calibrated on that are as strange or stranger. Of
# tweets like these a tenth lies below 0.1; when many more do, the stream is of another kind, and
# the promise of the review threshold is not for it: calibrate, or better train, on tweets of it.
TYPICALITY = Histogram(
    "mner_tweet_familiar",
    "tweets by the share of known ones that are as strange",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)

# First photos of tweets: status ok, failed or none (of no photo), kind of refusal. The kind that grows tells who is at
# fault: the internet (timeout, unreachable), one platform (http_status, host_down) or we (internal, busy, ...).
IMAGES = Counter("mner_images", "photos looked at, by what became of them", ["status", "kind"])

# From asking for a photo to having it or its refusal, waiting for a slot and answers of the cache included.
IMAGE_SECONDS = Histogram("mner_image_seconds", "seconds for one photo, all included", buckets=SECONDS)

# Bodies only, as far as they came, also of refused ones. Beside the images had, it says what the traffic costs.
IMAGE_BYTES = Counter("mner_image_bytes", "bytes of image files fetched")

# What the cache made of a URL: hit, revalidated (HTTP 304), stale (stood in for a server that failed), miss, negative
# (a refusal remembered), shared (somebody was fetching it already). Few hits where retweets are many: cache too small.
CACHE = Counter("mner_image_cache", "URLs asked for, by what the cache made of them", ["outcome"])

# Bodies whose bytes were known, under this or another URL: neither unpacked nor kept twice.
KNOWN = Counter("mner_image_known", "fetched images that needed no decoding")

# A cache's file (images, vision) was gone around. fault error: locked, full, read-only or damaged; hangs: one operation
# did not come to an end; both: the file is left alone for a while. busy: more was asked of it than its disk can do, and
# that alone was left out.
CACHE_FAULTS = Counter("mner_cache_faults", "operations on a cache's file that were given up", ["file", "fault"])

# Requests sent again after a failure that may pass. Many: a host or our own line is in trouble.
RETRIES = Counter("mner_image_retries", "requests for an image that were sent again")

# A host failed so often in a row that it is left alone for a while.
BREAKERS = Counter("mner_image_breakers_opened", "hosts left alone after failing many times in a row")

# A process that decodes was replaced: killed by a file, by its limits or by the deadline. A stream of them: an attack.
DECODER_RESTARTS = Counter("mner_image_decoder_restarts", "processes that decode images, started again")

# What became of each vision channel of each picture that was had: outcome is read, cached, near (lent by a copy), or
# why there is nothing: absent, busy, timeout, unavailable, no_pixels, failed, closed, internal.
VISION = Counter("mner_vision", "pictures looked at, by channel and outcome", ["channel", "outcome"])

# From handing a picture in to having its context, waiting in the queue included; only of those that were read.
VISION_SECONDS = Histogram("mner_vision_seconds", "seconds until a picture was read", buckets=(*SECONDS, 60))


@contextmanager
def served(listener: str | None) -> Iterator[None]:
    """Answers Prometheus on `listener`, host:port, from a thread of its own; None: not at all.

    Raises `UserError` when nothing can listen there.
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
