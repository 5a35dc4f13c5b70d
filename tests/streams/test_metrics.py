"""What Prometheus reads from a worker over HTTP."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import REGISTRY

from core.errors import Reject, UserError
from core.events import DeadLetter, Media
from streams import metrics
from streams.images.loader import ImageLoader
from streams.pipeline.item import Item, Origin
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage
from streams.settings import ImageLimits
from tests.conftest import ROOT


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def scraped(listener: str) -> dict[str, float]:
    with urlopen(f"http://{listener}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_a_failed_image_is_counted_by_kind_without_its_host_or_url() -> None:
    listener, name = f"127.0.0.1:{free_port()}", 'mner_images_total{kind="private_address",status="failed"}'
    with metrics.served(listener):
        before = scraped(listener).get(name, 0.0)
        async with ImageLoader(ImageLimits()) as loader:
            await loader.load_first_photo([Media(url="http://10.11.12.13/a.jpg")])
        after = scraped(listener)
    assert after[name] == before + 1
    assert not any("10.11.12.13" in line for line in after)


def test_nothing_listens_without_an_address_or_after_the_worker_stopped() -> None:
    listener = f"127.0.0.1:{free_port()}"
    with metrics.served(None), pytest.raises(OSError, match="refused"):
        scraped(listener)
    with metrics.served(listener):
        assert scraped(listener)
    with pytest.raises(OSError, match="refused"):
        scraped(listener)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_listener_has_an_address_or_a_name(host: str) -> None:
    if host == "[::1]" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with metrics.served(f"{host}:{free_port()}"):
        pass


def test_an_address_of_another_machine_is_refused_with_the_setting() -> None:
    with pytest.raises(UserError, match=r"MNER_METRICS='192\.0\.2\.1:9464'"), metrics.served("192.0.2.1:9464"):
        pass


def test_a_worker_whose_port_is_in_use_ends_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listener = f"127.0.0.1:{other.getsockname()[1]}"
        away = "127.0.0.1:1"
        servers = {"KAFKA": away, "ELASTICSEARCH": f"http://{away}", "REDIS": f"redis://{away}", "METRICS": listener}
        worker = subprocess.run(
            [sys.executable, "-m", "cli.main", "worker"],
            cwd=ROOT,
            env={**os.environ, "MNER_HOME": str(tmp_path), **{f"MNER_{name}": servers[name] for name in servers}},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert worker.returncode == 2
    assert f"MNER_METRICS='{listener}': Address already in use" in worker.stderr
    assert "Traceback" not in worker.stderr


async def test_events_and_dead_letters_are_counted_by_agent() -> None:
    class Refuse(Stage[Item[str]]):
        name = "refuse"

        async def process(self, item: Item[str]) -> None:
            if item.origin.value == b"bad":
                raise Reject("bad")

    class Drawer:
        async def send(self, letter: DeadLetter, key: bytes | None) -> None: ...

    async def acknowledge() -> None: ...

    pipeline = Pipeline(
        "counted",
        [Refuse()],
        item=Item[str],
        dead_letters=Drawer(),
        limit=DeadLetterLimit(run=10, share=1.0),
        in_flight=8,
        retry_max_s=1.0,
    )
    for offset, value in enumerate([b"good", b"bad", b"good"]):
        await pipeline.submit(Origin("tweets", 0, offset, None, value, 0.0), acknowledge)
    listener = f"127.0.0.1:{free_port()}"
    with metrics.served(listener):
        pipeline.start()
        assert scraped(listener)['mner_in_flight{agent="counted"}'] == 3
        assert await pipeline.drain(5)
        seen = scraped(listener)
    await pipeline.close()
    names = ("acknowledged_total", "dead_letters_total", "in_flight")
    assert [seen[f'mner_{name}{{agent="counted"}}'] for name in names] == [3, 1, 0]


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"^\| `(mner_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    families = [family for family in REGISTRY.collect() if family.name.startswith("mner_")]
    current = [family for family in families if not family.documentation.startswith("deprecated")]
    assert documented == {f"{family.name}{'_total' * (family.type == 'counter')}" for family in current}
