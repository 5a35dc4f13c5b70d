"""Every answer of Redis, classed once.

`TABLE` is read from the top, and the first row that matches counts. The last row matches everything. `docs/servers.md`
shows the table. An error inside a script counts as if the command had been sent alone.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

from redis import exceptions as redis_errors
from redis import sentinel
from redis.asyncio import sentinel as async_sentinel

from sinks.answers import tls
from sinks.answers.answer import Answer, Reaction
from sinks.connect.redis import ANSWERED, REFUSALS

ERRORS = "https://redis.io/docs/latest/develop/reference/errors/all/redis/"
CLIENTS = "https://redis.io/docs/latest/develop/reference/clients/"
TLS = "https://redis.io/docs/latest/operate/oss_and_stack/management/security/encryption/"
SENTINEL = "https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/"
PROTOCOL = "https://redis.io/docs/latest/develop/reference/protocol-spec/"
UPSTASH = "https://upstash.com/docs/redis/troubleshooting/max_request_size_exceeded"


@dataclass(frozen=True)
class Row:
    """One class of answers.

    - codes: the first word of the error, such as `READONLY`; lower-case words are kinds of faults of the connection.
      Empty matches all.
    - reason: a regular expression that the rest of the error must contain.
    - says: what is true. `{server}` stands for the server.
    """

    codes: tuple[str, ...]
    reaction: Reaction
    says: str
    source: str = ERRORS
    reason: str = ""

    def matches(self, code: str, reason: str) -> bool:
        return (not self.codes or code in self.codes) and re.search(self.reason, reason) is not None


_R = Reaction
TABLE = (
    # the server works, but not for this now
    Row(("LOADING",), _R.RETRY, "{server} still loads its data"),
    Row(("BUSY",), _R.RETRY, "{server} runs a long script"),
    Row(("MASTERDOWN",), _R.RETRY, "{server} is a replica without its master"),
    Row(("READONLY",), _R.RETRY, "{server} is a replica, which takes no writes"),
    Row(("OOM",), _R.RETRY, "{server} has no memory left"),
    Row(("MISCONF",), _R.RETRY, "{server} cannot write to its disk"),
    Row(("NOREPLICAS",), _R.RETRY, "{server} has too few replicas to take writes"),
    Row(("CLUSTERDOWN",), _R.RETRY, "the cluster of {server} is down"),
    Row(("TRYAGAIN", "ASK"), _R.RETRY, "the cluster of {server} moves our keys"),
    Row(("NOSCRIPT",), _R.RETRY, "{server} has lost our script"),
    Row(("EXECABORT",), _R.RETRY, "{server} gave up a transaction"),
    Row(("IOERR", "NOMASTERLINK", "UNBLOCKED", "REDIRECT"), _R.RETRY, "{server} changes its role"),
    Row(("ERR",), _R.RETRY, "{server} has no connection left for us", reason="max number of clients"),
    Row(("ERR",), _R.RETRY, "{server} has no connection left for us", CLIENTS, "connection limit|max.* connections"),
    # this task can never be stored
    Row(
        ("ERR",),
        _R.REJECT,
        "the task is too large for {server}",
        reason="(?i)invalid bulk length|exceeds.*allowed size",
    ),
    Row(("ERR",), _R.REJECT, "the task is too large for {server}", UPSTASH, "(?i)max request size exceeded"),
    # nothing can be stored before a person changes something
    Row(("NOAUTH",), _R.STOP, "{server} asks for a password"),
    Row(("WRONGPASS",), _R.STOP, "{server} refuses our credentials"),
    Row(("ERR",), _R.STOP, "{server} refuses our credentials", reason="invalid password|invalid username-password"),
    Row(("ERR",), _R.STOP, "{server} has no password, but its address does", reason="AUTH.*(without any|no) password"),
    Row(("ERR",), _R.STOP, "{server} knows no user names, but its address has one", reason="(?i)arguments for 'auth'"),
    Row(("NOPERM",), _R.STOP, "{server} does not give our user the rights"),
    Row(("DENIED",), _R.STOP, "{server} is in protected mode: it takes no connections from other machines"),
    Row(("ERR",), _R.STOP, "{server} has no such database; see the number in its address", reason="(?i)DB index"),
    Row(("ERR",), _R.STOP, "{server} has database 0 only; see its address", reason="SELECT is not allowed"),
    Row(("MOVED",), _R.STOP, "{server} is not the node of its cluster that holds our keys"),
    Row(("CROSSSLOT",), _R.STOP, "{server} needs our keys in one slot: use a Redis without cluster mode"),
    Row(("WRONGTYPE",), _R.STOP, "another program uses our keys at {server}"),
    Row(("ERR",), _R.STOP, "{server} lacks a command that the queue needs", reason="(?i)unknown (redis )?command"),
    Row(("NOPROTO",), _R.STOP, "{server} does not speak our version of the protocol", PROTOCOL),
    Row(("ERR",), _R.STOP, "{server} does not understand us", PROTOCOL, "Protocol error"),
    # no answer
    Row(("expired",), _R.STOP, "the certificate of {server} has expired by our clock", TLS),
    Row(("early",), _R.STOP, "the certificate of {server} is not valid yet by our clock", TLS),
    Row(("name",), _R.STOP, "the certificate of {server} is for another host name", TLS),
    Row(("certificate",), _R.STOP, "we do not trust the certificate of {server}", TLS),
    Row(("alert",), _R.STOP, "{server} refuses our TLS", TLS),
    Row(("plain",), _R.STOP, "{server} does not speak TLS at this port", TLS),
    Row(("encrypted",), _R.STOP, "{server} speaks TLS at this port, and we do not", TLS),
    Row(("tls",), _R.RETRY, "the TLS connection to {server} broke", TLS),
    Row(("sentinels",), _R.STOP, "the Sentinels refuse our credentials, so they do not name the master", SENTINEL),
    Row(("masterless",), _R.RETRY, "a Sentinel answers, but names no master that works", SENTINEL),
    Row(("timeout",), _R.SHRINK, "{server} did not answer in time", CLIENTS),
    Row(("dropped",), _R.SHRINK, "{server} broke the connection", CLIENTS),
    Row(("unreachable",), _R.RETRY, "{server} is unreachable", CLIENTS),
    Row(("stranger",), _R.STOP, "what answers as {server} does not speak the protocol of Redis", PROTOCOL),
    Row(("unreadable",), _R.RETRY, "the answer of {server} does not have the form of Redis's answers", PROTOCOL),
    Row((), _R.STOP, "{server} refuses a command of the queue"),
)

FAULTS = (redis_errors.RedisError, redis_errors.RedisClusterException)
"""What the client raises. The second class is none of the first."""

CODES: dict[type[Exception], str] = {
    redis_errors.BusyLoadingError: "LOADING",
    redis_errors.MasterDownError: "MASTERDOWN",
    redis_errors.ClusterDownError: "CLUSTERDOWN",
    redis_errors.ClusterError: "TRYAGAIN",  # the client gave up after that many tries
    redis_errors.RedisClusterException: "CLUSTERDOWN",  # slots that no node holds
    redis_errors.SlotNotCoveredError: "CLUSTERDOWN",
    redis_errors.ReadOnlyError: "READONLY",
    redis_errors.OutOfMemoryError: "OOM",
    redis_errors.TryAgainError: "TRYAGAIN",
    redis_errors.NoScriptError: "NOSCRIPT",
    redis_errors.ExecAbortError: "EXECABORT",
    redis_errors.NoPermissionError: "NOPERM",
    redis_errors.MovedError: "MOVED",
    redis_errors.AskError: "ASK",
    redis_errors.ClusterCrossSlotError: "CROSSSLOT",
}
"""The client drops the first word of these errors."""

KNOWN = {code for row in TABLE for code in row.codes if code.isupper()} - {"ERR"}
"""First words with a row of their own. The client drops the word `ERR`, so a first word in capitals that is not listed
here may be no code."""

IN_PIPELINE = re.compile(r"^Command # \d+ .*? of pipeline caused error: ", re.DOTALL)
TUPLE = re.compile(r"^\((['\"])(.*)\1,\)$", re.DOTALL)
"""Since version 8, the client writes an error of a pipeline as a tuple."""

IN_SCRIPT = re.compile(r"^(?:ERR )?Error running script .*user_script: ?\d+: -?", re.DOTALL)
RIGHTLESS = re.compile(r"(?:ERR )?The user executing the script can't ")
"""What Redis 7 says in place of `NOPERM` when a script lacks a right."""

AWAY = {"unreachable", "timeout", "dropped", "tls"}
"""Faults of the connection to a Sentinel after which another Sentinel may know more."""

DROPPED = re.compile(r"closed by server|reset by peer|Broken pipe|Connection lost|while (reading|writing)|closed", re.I)


def row_for(code: str, reason: str) -> Row:
    """Returns the row of an answer. Every answer has one."""
    return next(row for row in TABLE if row.matches(code, reason))


def answer(error: Exception, server: str, *, known: bool = False) -> Answer:
    """Classes an error of the client. `known`: whether this server has answered as Redis before."""
    code, reason = code_of(error, known=known)
    row = row_for(code, reason)
    detail = " ".join((f"{code} {reason}" if code.isupper() else reason).split())[:300]
    says = row.says.format(server=server)
    return Answer(row.reaction, f"{says}: {detail}" if detail else says, broke=code == "dropped")


def code_of(error: BaseException, *, known: bool = False) -> tuple[str, str]:
    """Returns the error's first word and the rest, as the server sent them, or the kind of a fault on the way."""
    error = _of_node(error)
    text = IN_PIPELINE.sub("", str(error))
    text = IN_SCRIPT.sub("", TUPLE.sub(r"\2", text))
    named = next((code for kind, code in CODES.items() if type(error) is kind), "")
    named = "NOPERM" if RIGHTLESS.match(text) else named
    named = "timeout" if isinstance(error, redis_errors.TimeoutError) and not named else named
    if named:
        return named, text
    if isinstance(error, sentinel.MasterNotFoundError | async_sentinel.MasterNotFoundError):
        return _of_sentinels(error, text)
    if isinstance(error, redis_errors.InvalidResponse):
        return ("unreadable" if known else "stranger"), text
    if isinstance(error, redis_errors.AuthenticationError):
        return _refusal(error, text)
    if isinstance(error, redis_errors.ConnectionError) and "max number of clients" not in text:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLError) and str(cause) not in text:
            text = f"{text} {cause}"
        return _fault(text), text
    first, _, rest = text.partition(" ")
    return (first, rest) if first in KNOWN else ("ERR", text.removeprefix("ERR "))


def _of_node(error: BaseException) -> BaseException:
    """Returns what a node answered when the client asked it for the nodes of its cluster.

    The client says "Cluster mode is not enabled on this node" or "cannot be connected" in its place, whatever it was.
    """
    while isinstance(error, redis_errors.RedisClusterException) and (cause := error.__cause__ or error.__context__):
        error = cause
    return error


def _of_sentinels(error: BaseException, text: str) -> tuple[str, str]:
    """Returns why no Sentinel names the master.

    A Sentinel that is away says less than one that refuses us. While one answers, it may name a master later, so the
    others may refuse us as they like.
    """
    unnamed = text.partition(" : ")[0]
    if getattr(error, ANSWERED, 0):
        return "masterless", unnamed
    for fault in getattr(error, REFUSALS, ()):
        code, detail = code_of(fault)
        if isinstance(fault, redis_errors.AuthenticationError):
            return "sentinels", detail
        if code not in AWAY:
            return code, detail
    return "unreachable", unnamed


def _refusal(error: BaseException, text: str) -> tuple[str, str]:
    """The client uses one class for `NOAUTH`, `WRONGPASS` and the errors of older servers."""
    sent = getattr(error, "status_code", None)
    if sent in {"NOAUTH", "WRONGPASS"}:
        return sent, text
    if text.startswith(("Authentication required", "HELLO must be called")):
        return "NOAUTH", text
    if text.startswith("invalid username-password"):
        return "WRONGPASS", text
    return "ERR", text


def _fault(text: str) -> str:
    kind = tls.fault(text)
    if kind in {"", "tls"} and DROPPED.search(text):
        return "dropped"
    return kind or "unreachable"
