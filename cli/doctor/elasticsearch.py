"""The checks of Elasticsearch: reachable, healthy, writable, and with the index of this version."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from cli.doctor.finding import ANSWER_S, Finding, Level, clock
from cli.doctor.mends import mend
from cli.doctor.terms import obeyed
from sinks.answers import tls
from sinks.answers.elasticsearch import connection_answer
from sinks.connect.elasticsearch import Cluster, address, client_options, server
from sinks.connect.probe import speaks_tls, tls_fault
from sinks.connect.tls import Tls
from streams.settings import Settings

UNITS = {"b": 0, "kb": 1, "mb": 2, "gb": 3, "tb": 4, "pb": 5}
WATERMARK = "cluster.routing.allocation.disk.watermark."
RIGHTS = "give the user or API key of MNER_ELASTICSEARCH the right `monitor` on the cluster and `all` on the indexes"
DISK = "free disk space, or add a node"


def check(cluster: Cluster, config: Settings) -> Iterator[Finding]:
    """Checks the cluster and the index."""
    from elastic_transport import TlsError, TransportError
    from elasticsearch import ApiError, Elasticsearch

    where, name = str(server(cluster)), config.name("mentions")
    try:
        with Elasticsearch(**client_options(cluster), request_timeout=ANSWER_S) as client:
            yield from _cluster(client, where, name)
            standings = partial(_standings, standings=config.name("lifecycle"))
            for part in (_blocks, _disk, _index, standings, partial(obeyed, config=config)):
                try:
                    yield from part(client, name)
                except ApiError as error:  # our user may lack one right; the others are still checked
                    what = part.func if isinstance(part, partial) else part
                    yield _refusal(what.__name__.strip("_"), error, where, name)
    except ApiError as error:
        yield _refusal("elasticsearch", error, where, name)
    except TlsError as error:
        yield _tls(error, where, name)
    except (TransportError, ValueError) as error:
        for node in server(cluster).nodes:
            if kind := _hidden(node, server(cluster).tls):
                told = connection_answer(kind, "", f"Elasticsearch at {address(node)}", name).sentence
                remedy = mend(kind, "MNER_ELASTICSEARCH") or "begin MNER_ELASTICSEARCH with https://"
                yield Finding("elasticsearch", "broken", told, remedy)
                return
        detail = f"no answer from {where}: {getattr(error, 'message', error)}"
        yield Finding("elasticsearch", "broken", detail, "is it running? is MNER_ELASTICSEARCH correct?")


def _hidden(url: str, settings: Tls | None) -> str:
    """Returns the kind of a fault of TLS that the client does not see, "" if there is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return "encrypted" if speaks_tls(host, parts.port or 80) else ""
    found = tls_fault(host, parts.port or 443, settings or Tls("MNER_ELASTICSEARCH"))
    return found if found == "alert" else ""


def _tls(error: Any, where: str, name: str) -> Finding:
    from sinks.index.transport import classed

    kind = tls.fault(f"{error.message} {error.__context__}")
    if kind == "plain":
        remedy = "begin MNER_ELASTICSEARCH with http://, or name the port that speaks TLS"
    else:
        remedy = mend(kind or "tls", "MNER_ELASTICSEARCH")
    told = classed(error, f"Elasticsearch at {where}", name, known=True).sentence
    return Finding("elasticsearch", "broken", told, remedy)


def _refusal(what: str, error: Any, where: str, name: str) -> Finding:
    """Returns the finding for an answer that is an error. The remedy names whoever refuses: the server or a proxy."""
    from sinks.index.transport import classed

    ours = error.meta.headers.get("x-elastic-product") == "Elasticsearch"
    status, told = error.status_code, classed(error, where, name, known=True).sentence
    if status == 401:
        remedy = "correct MNER_ELASTICSEARCH_API_KEY, or the user and password in MNER_ELASTICSEARCH_USER and _PASSWORD"
    elif "read-only" in told or "disk is full" in told:
        remedy = f"{DISK}; then remove the block with `PUT _cluster/settings` or `PUT {name}/_settings`"
    elif "has closed" in told:
        remedy = f"open it: `POST {name}/_open`"
    elif status == 403 and (ours or "security_exception" in told):
        remedy = RIGHTS
    elif status == 403:
        remedy = "ask who runs the proxy to let requests of this machine through; is MNER_ELASTICSEARCH right?"
    elif status == 407:
        remedy = "give the proxy its credentials, or go round it with NO_PROXY"
    elif (status == 404 and not ours) or 300 <= status < 400:
        remedy = "correct the host and the path in MNER_ELASTICSEARCH"
    elif status in {405, 406, 415}:
        remedy = "is it an Elasticsearch 9?"
    else:
        remedy = "see the log of Elasticsearch" if ours else "see the logs of Elasticsearch and of the proxy before it"
    return Finding(what, "broken", told, remedy)


def _cluster(client: Any, where: str, name: str) -> list[Finding]:
    nodes = client.nodes.info(filter_path="nodes.*.version")["nodes"]  # the local node does not serve `GET /`
    versions = sorted({node["version"] for node in nodes.values()})
    health = client.cluster.health()
    status = health["status"]
    detail = f"{', '.join(versions)} at {where}, {len(nodes)} node{'s' if len(nodes) > 1 else ''}, {status}"
    findings = [Finding("elasticsearch", "ok", detail)]
    if status != "green":
        ours = client.cluster.health(index=name)["status"] if client.indices.exists_alias(name=name) else ""
        level = concern(status, ours, len(nodes))
        detail += f": {health['unassigned_shards']} of its shards are on no node"
        detail += "" if ours in {"", status} else f", but {name} is {ours}"
        remedy = "start the missing nodes, or ask for fewer replicas; `GET _cluster/allocation/explain` says why"
        findings = [Finding("elasticsearch", level, detail, remedy if level != "ok" else "")]
    return [*findings, *_clock(client, where)]


def concern(cluster: str, ours: str, nodes: int) -> Level:
    """Returns how grave the state of a cluster is (red or yellow), given that of our index, if there is one.

    A single node is yellow for good as soon as anybody asks for a replica. This does not concern us.
    """
    if ours == "red":
        return "broken"
    return "warning" if cluster == "red" or ours == "yellow" or nodes > 1 else "ok"


def _clock(client: Any, where: str) -> list[Finding]:
    from elasticsearch import ApiError

    with suppress(ApiError):
        asked = time.time()
        stats = client.nodes.stats(metric="fs", filter_path="nodes.*.timestamp")
        answered = time.time()
        found = [clock(where, node["timestamp"] / 1000, asked, answered) for node in stats["nodes"].values()]
        return next((skew for skew in found if skew), [])
    return []


def _blocks(client: Any, name: str) -> list[Finding]:
    """Tells of blocks of the cluster and of our indexes that refuse writes or reads."""
    blocks = client.cluster.state(metric="blocks")["blocks"]
    findings = []
    for block in blocks.get("global", {}).values():
        remedy = 'remove it: `PUT _cluster/settings {"persistent": {"cluster.blocks.read_only": null}}`'
        findings.append(Finding("blocks", "broken", f"the cluster is blocked: {block['description']}", remedy))
    for index, held in blocks.get("indices", {}).items():
        if index != name and not re.fullmatch(rf"{re.escape(name)}-\d+", index):
            continue
        for block in held.values():
            detail = f"{index} is blocked: {block['description']}"
            findings.append(Finding("blocks", "broken", detail, _unblock(index, block["description"])))
    return findings


def _unblock(index: str, description: str) -> str:
    if "closed" in description:
        return f"open it: `POST {index}/_open`"
    setting = next((kind for kind in ("flood-stage", "read-only", "write", "read") if kind in description), "")
    names = {"flood-stage": "read_only_allow_delete", "read-only": "read_only"}
    remove = f'`PUT {index}/_settings {{"index.blocks.{names.get(setting, setting or "*")}": null}}`'
    return f"{DISK}; then {remove}" if setting == "flood-stage" else f"remove it: {remove}"


def _disk(client: Any, _: str) -> list[Finding]:
    """Compares the free space of each node with the watermarks, from which Elasticsearch refuses shards or writes."""
    told = client.cluster.get_settings(include_defaults=True, flat_settings=True)
    held = {**told.get("defaults", {}), **told.get("persistent", {}), **told.get("transient", {})}
    if held.get("cluster.routing.allocation.disk.threshold_enabled") == "false":
        return []
    nodes = client.nodes.stats(metric="fs", filter_path="nodes.*.name,nodes.*.fs.total")["nodes"]
    findings = []
    for node in nodes.values():
        total, free = (node["fs"]["total"][f"{kind}_in_bytes"] for kind in ("total", "available"))
        passed = [mark for mark in ("flood_stage", "high", "low") if free < least_free(held, mark, total)]
        if passed:
            effect = {
                "flood_stage": "its indexes become read-only",
                "high": "it moves shards away",
                "low": "it takes no new shards",
            }
            detail = f"node {node['name']} has {free / 1e9:.1f} of {total / 1e9:.1f} GB free: {effect[passed[0]]}"
            level: Level = "broken" if passed[0] == "flood_stage" else "warning"
            findings.append(Finding("disk of Elasticsearch", level, f"{detail} (watermark {passed[0]})", DISK))
    return findings


def least_free(settings: Mapping[str, str], mark: str, total: int) -> float:
    """Returns the free space, in bytes, below which a disk of `total` bytes has passed a watermark.

    A watermark is a share of used space with an upper limit for the free space, or a free space.
    """
    value = settings.get(WATERMARK + mark, "")
    headroom = _size(settings.get(f"{WATERMARK}{mark}.max_headroom", "-1"))
    share = None
    with suppress(ValueError):
        share = float(value[:-1]) / 100 if value.endswith("%") else float(value)
    if share is None:
        return _size(value)
    least = total * (1 - share)
    return min(least, headroom) if headroom > 0 else least


def _size(value: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*([kmgtp]?b)", value.lower())
    return float(match[1]) * 1024 ** UNITS[match[2]] if match else 0.0


def _index(client: Any, name: str) -> list[Finding]:
    remedy = "a worker creates it when it starts: `mner worker`"
    if not client.indices.exists_alias(name=name):
        if client.indices.exists(index=name):
            detail = f"an index is called {name}, but this must be the name of an alias"
            return [Finding("index", "broken", detail, "copy it to another index and delete it, or set MNER_PREFIX")]
        return [Finding("index", "warning", f"{name} does not exist yet", remedy)]
    aliased = client.indices.get_alias(name=name)
    writable = [index for index, held in aliased.items() if held["aliases"][name].get("is_write_index")]
    if len(aliased) > 1 and len(writable) != 1:
        detail = f"the alias {name} has {len(aliased)} indexes, and no write index: {', '.join(sorted(aliased))}"
        return [Finding("index", "broken", detail, "mark one with `is_write_index`, with `POST _aliases`")]
    if not client.indices.exists_index_template(name=name):
        return [Finding("index", "warning", f"the template {name} is missing", remedy)]
    if problem := _mapping(client, name):
        return [problem]
    count = client.count(index=name)["count"]
    return [Finding("index", "ok", f"{name}: template, alias and mapping as planned, {count} documents")]


def _standings(client: Any, name: str, standings: str) -> list[Finding]:
    """Checks that the index of erased and hidden posts can be read, once there is an index of posts (`name`)."""
    if not client.indices.exists_alias(name=name):
        return []
    if client.indices.exists_alias(name=standings):
        client.count(index=standings)
        return []
    detail = f"{standings} does not exist yet; it holds which posts are erased or hidden"
    return [Finding("standings", "warning", detail, "a worker creates it when it starts: `mner worker`")]


def _mapping(client: Any, name: str) -> Finding | None:
    """Returns how the mapping of an index differs from this version's, or None."""
    from sinks.index.mapping import changed_fields, missing_fields

    for index, state in client.indices.get_mapping(index=name).items():
        mapped = state["mappings"].get("properties", {})
        if changed := changed_fields(mapped):
            detail = f"in {index}, the mapping of these fields differs from this version's: {', '.join(changed)}"
            return Finding("index", "broken", detail, "create a new index, as docs/index.md says")
        if missing := missing_fields(mapped):
            detail = f"{index} comes from an earlier version and lacks fields: {', '.join(missing)}"
            return Finding("index", "warning", detail, "a worker adds them when it starts: `mner worker`")
    return None
