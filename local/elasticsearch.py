"""Elasticsearch: one node, started through its own Java classes inside a Python process (JPype).

Maven Central has Elasticsearch's core and its HTTP module, but no distribution with a start script. `run` replaces
that script and follows `org.elasticsearch.bootstrap.Elasticsearch`. These classes are internal, so the version is
pinned.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any, ClassVar

from local import java
from local.server import Server

HEAP = "-Xmx512m"
MODULE = "transport-netty4"
DESCRIPTOR = f"META-INF/es-plugins/{MODULE}/plugin-descriptor.properties"
LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
logger.native.name = org.elasticsearch.nativeaccess
logger.native.level = error
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class Elasticsearch(Server):
    """A single-node Elasticsearch."""

    name: ClassVar[str] = "elasticsearch"

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"

    def prepare(self, ports: list[int]) -> list[str]:
        core = java.class_path("elasticsearch", self._report)
        module = java.class_path("transport-netty4", self._report)
        _lay_out(self._home, core, module)
        return [sys.executable, "-P", "-m", "local.elasticsearch", str(self._home), str(ports[0]), *core]

    def answers(self, port: int) -> bool:
        nodes = _get(f"{self.url(port)}/_nodes/_local/settings?filter_path=nodes.*.settings.path.home")
        if str(self._home) not in json.dumps(nodes, ensure_ascii=False):
            return False
        _get(f"{self.url(port)}/_cluster/health?wait_for_status=yellow&timeout=1s")  # raises while indices recover
        return True

    @property
    def _home(self) -> Path:
        return self.folder / "home"


def _get(url: str) -> Any:
    """Gets JSON from a server on this machine, without a proxy.

    Raises `OSError` when the server does not answer, or answers with anything else.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return json.load(response)
    except (ValueError, http.client.HTTPException) as error:
        raise OSError(f"{url} does not answer as Elasticsearch does: {error}") from None


def _lay_out(home: Path, core: list[str], module: list[str]) -> None:
    """Creates the folders of a distribution: the logging configuration, and the HTTP module in its own folder."""
    (home / "config").mkdir(parents=True, exist_ok=True)
    (home / "config" / "log4j2.properties").write_text(LOGGING)
    (home / "plugins").mkdir(exist_ok=True)
    folder = home / "modules" / MODULE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for jar in map(Path, module):
        if str(jar) not in core:
            shutil.copy(jar, folder)
        if jar.name.startswith(MODULE):
            with zipfile.ZipFile(jar) as archive:
                lines = archive.read(DESCRIPTOR).decode().splitlines()
            # with a module name, the loader would look for Java modules, and these are plain jars
            descriptor = [line for line in lines if not line.startswith("modulename")]
            (folder / "plugin-descriptor.properties").write_text("\n".join(descriptor) + "\n")


def run(home: Path, port: int, class_path: list[str]) -> None:
    """Runs the node in this process until SIGTERM."""
    import jpype

    signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGTERM}
    )  # Java's threads inherit the block, so the signal reaches `sigwait` below
    jpype.startJVM(
        str(java.library()),
        "-Xrs",  # Java installs no signal handlers
        HEAP,
        *java.JVM_FLAGS,
        "--enable-native-access=ALL-UNNAMED",
        classpath=class_path,
    )
    try:
        node = _node(home, port)
        node.start()
        signal.sigwait({signal.SIGTERM})
        node.close()
    except jpype.JException as error:
        _print_causes(error)
        os._exit(1)
    os._exit(0)  # the normal exit would wait for Java threads that no longer matter


def _print_causes(error: Any) -> None:
    """Prints the chain of causes without stack frames, so that the end of the log shows all of them."""
    while error is not None:
        print(error.toString(), flush=True)
        error = error.getCause()


def _node(home: Path, port: int) -> Any:
    from jpype import JClass

    settings = JClass("org.elasticsearch.common.settings.Settings").builder()
    for key, value in {
        "path.home": str(home),
        "path.data": str(home / "data"),
        "path.logs": str(home / "logs"),
        "node.name": "local",
        "network.host": "127.0.0.1",
        "http.port": str(port),
        "transport.port": "0",
        "discovery.type": "single-node",
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }.items():
        settings.put(key, value)
    java_map, plugins = JClass("java.util.Map"), JClass("org.elasticsearch.plugins.PluginsLoader")
    preparer = JClass("org.elasticsearch.node.InternalSettingsPreparer")
    logs = JClass("org.elasticsearch.common.logging.LogConfigurator")
    logs.registerErrorListener()
    environment = preparer.prepareEnvironment(
        settings.build(), java_map.of(), JClass("java.nio.file.Path").of(str(home / "config")), lambda: "local"
    )
    logs.configure(environment, True)
    loader = plugins.createPluginsLoader(
        plugins.loadModulesBundles(environment.modulesDir(), False),
        plugins.loadPluginsBundles(environment.pluginsDir(), False),
        java_map.of(),
        False,
    )
    return JClass("org.elasticsearch.node.Node")(environment, loader)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
