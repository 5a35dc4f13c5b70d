"""Every error of Kafka, classed once, for both clients: aiokafka in a worker, and kafka-python elsewhere.

`TABLE` is read from the top, and the first row that matches counts. The last row matches everything. `docs/servers.md`
shows the table. A broker's error has a number; a client's own error has the name of its class.
"""

from __future__ import annotations

from dataclasses import dataclass

from sinks.answers import tls
from sinks.answers.answer import Answer, Reaction

CODES = "https://kafka.apache.org/protocol.html#protocol_error_codes"
PRODUCER = "https://aiokafka.readthedocs.io/en/stable/producer.html"
CONSUMER = "https://aiokafka.readthedocs.io/en/stable/consumer.html"
CLIENT = "https://aiokafka.readthedocs.io/en/stable/api.html#errors"
TLS = "https://kafka.apache.org/documentation/#security_ssl"
SASL = "https://kafka.apache.org/documentation/#security_sasl"
TOPICS = "https://kafka.apache.org/documentation/#topicconfigs"


@dataclass(frozen=True)
class Row:
    """One class of errors.

    - codes: numbers of the protocol's errors. Empty, with no `names`, matches all.
    - names: classes of the clients' own errors, and, in lower case, kinds of faults of TLS and the login.
    - says: what is true. `{server}` stands for the brokers, `{topic}` for the topic.
    - renew: a new producer is needed, since the broker does not accept this one any more.
    - general: whether the reason for a rejection may lie in the topic, so that it may refuse every record.
    """

    codes: tuple[int, ...]
    names: tuple[str, ...]
    reaction: Reaction
    says: str
    source: str = CODES
    renew: bool = False
    general: bool = False

    def matches(self, code: int | None, names: frozenset[str]) -> bool:
        return (not self.codes and not self.names) or code in self.codes or not names.isdisjoint(self.names)


_R = Reaction
AUTHENTICATION = ("AuthenticationFailedError", "AuthenticationMethodNotSupported", "SaslAuthenticationError")
VERSIONS = ("UnrecognizedBrokerVersion", "IncompatibleBrokerVersion")
AWAY = ("KafkaConnectionError", "NodeNotReadyError", "NoBrokersAvailable", "KafkaUnavailableError")
DAMAGED = ("KafkaProtocolError", "CorrelationIdError", "InvalidReceiveError")
TABLE = (
    # TLS and the login, as `sinks.connect.probe` finds them
    Row((), ("expired",), _R.STOP, "the certificate of {server} has expired by our clock", TLS),
    Row((), ("early",), _R.STOP, "the certificate of {server} is not valid yet by our clock", TLS),
    Row((), ("name",), _R.STOP, "the certificate of {server} is for another host name", TLS),
    Row((), ("certificate",), _R.STOP, "we do not trust the certificate of {server}", TLS),
    Row((), ("alert",), _R.STOP, "{server} refuses our TLS", TLS),
    Row((), ("plain",), _R.STOP, "{server} does not speak TLS at this port", TLS),
    Row((), ("encrypted",), _R.STOP, "{server} speaks TLS at this port, and we do not", TLS),
    Row((), ("tls",), _R.RETRY, "the TLS connection to {server} broke", TLS),
    Row((58,), (*AUTHENTICATION, "refused"), _R.STOP, "{server} refuses our credentials", SASL),
    Row((), ("login",), _R.STOP, "{server} asks for a login", SASL),
    Row((), ("no login", "mechanism"), _R.STOP, "{server} wants another way to log in", SASL),
    # a record
    Row((10,), (), _R.SPLIT, "the record is larger than {topic} allows"),
    Row((18,), ("RecordTooLargeError",), _R.SPLIT, "the record is larger than a segment of {topic}"),
    Row((32,), (), _R.SPLIT, "{topic} does not take a record with this time", TOPICS, general=True),
    Row((87,), (), _R.SPLIT, "{topic} refuses the record; a compacted topic needs a key", general=True),
    # the brokers take no records now
    Row((3, 100), (), _R.RETRY, "{server} does not have {topic} now"),
    Row((5, 6, 13, 72, 74, 75, 80, 83, 103), ("StaleMetadata",), _R.RETRY, "{server} is choosing new leaders"),
    Row((19, 20), (), _R.RETRY, "{topic} has too few in-sync replicas to take records", TOPICS),
    Row((8, 9, 41), AWAY, _R.RETRY, "{server} is unreachable"),
    Row((7,), ("KafkaTimeoutError",), _R.RETRY, "{server} did not answer in time"),
    Row((2,), DAMAGED, _R.RETRY, "a record for {topic} was damaged on the way, or on the disk of {server}"),
    Row((56, 57), (), _R.RETRY, "{server} cannot use its disk"),
    Row((89,), ("QuotaViolationError",), _R.RETRY, "{server} slows us down, since we exceed a quota"),
    Row((-1,), (), _R.RETRY, "{server} failed, and did not say why; see its log"),
    # the producer's session
    Row(
        *((45, 47, 49, 59, 90), ("ProducerFenced", "ProducerFencedError"), _R.RETRY),
        *("{server} has lost the session of our producer", PRODUCER, True),
    ),
    Row((), ("ProducerClosed",), _R.RETRY, "our producer was closed", PRODUCER, True),
    # a consumer
    Row((1,), ("NoOffsetForPartitionError",), _R.RETRY, "{topic} no longer has the offset that we ask for", CONSUMER),
    Row((14, 15, 16), (), _R.RETRY, "{server} is choosing a coordinator for our group"),
    Row((22, 25, 27, 79, 82, 110, 113), ("CommitFailedError",), _R.RETRY, "our group is rebalancing"),
    Row((70, 71, 78, 106), (), _R.RETRY, "{server} cannot continue our fetch session, or lacks the offset yet"),
    Row((30,), (), _R.STOP, "{server} does not let our user read with this group"),
    Row((23, 24, 26, 81), (), _R.STOP, "{server} does not accept our consumer group"),
    # nothing can be sent or read before a person changes something
    Row((29,), (), _R.STOP, "{server} does not let our user use {topic}"),
    Row((31, 53), (), _R.STOP, "{server} does not give our user the rights"),
    Row((33, 34, 54), (), _R.STOP, "{server} wants another way to log in"),
    Row((17,), (), _R.STOP, "{topic} cannot be the name of a topic; check the prefix"),
    Row((76,), ("UnsupportedCodecError",), _R.STOP, "a library for the compression of {topic} is missing"),
    Row((35, 43), VERSIONS, _R.STOP, "{server} has another version than our client"),
    Row((44, 40, 37, 38, 39), (), _R.STOP, "a policy of {server} forbids what we ask for"),
    Row((4, 21, 42), ("IllegalArgumentError", "KafkaConfigurationError"), _R.STOP, "{server} does not understand us"),
    Row((), (), _R.RETRY, "{server} did not take a request for {topic}"),
)


def row_for(error: BaseException) -> Row:
    """Returns the row of an error. Every error has one."""
    code = getattr(error, "errno", None)
    names = frozenset(kind.__name__ for kind in type(error).__mro__) | {kind_of(error)}
    if "bootstrap" in str(error):  # kafka-python's first connection failed, which it calls a time-out
        names |= {"NoBrokersAvailable"}
    return next(row for row in TABLE if row.matches(code, names))


def kind_of(error: BaseException) -> str:
    """Returns the kind of a fault of TLS or of the login, "" for other errors."""
    return str(getattr(error, "kind", "")) or tls.fault(str(error))


def answer(error: BaseException, server: str, topic: str = "a topic") -> Answer:
    """Classes an error of a Kafka client. `server`: how the sentence names the brokers."""
    row = row_for(error)
    detail = " ".join((str(error) or type(error).__name__).split())[:300]
    name = type(error).__name__
    says = row.says.format(server=server, topic=topic)
    return Answer(row.reaction, f"{says}: {_told(name, detail)}", general=row.general)


def _told(name: str, detail: str) -> str:
    return detail if name in detail else f"{name}: {detail}"
