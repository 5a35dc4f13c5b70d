"""The command `mner`. Each subcommand has a module in this package.

Command modules import torch, Faust and clients inside their functions, so that `mner --help` stays quick.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import sys
import traceback
from typing import Annotated

import typer

from cli import output
from cli.failures import FAILED, told
from core.secret import scrub

COMMANDS = {
    "demo": "demo",
    "worker": "worker",
    "feed": "feeds.command",
    "predict": "predict",
    "look": "look.command",
    "train": "training.train",
    "evaluate": "training.evaluate",
    "calibrate": "training.calibrate",
    "quantise": "training.quantise",
    "review": "review",
    "desk": "desk.command",
    "queue": "queue",
    "search": "search",
    "export": "export",
    "import": "importing",
    "retention": "retention",
    "forget": "forget",
    "topics": "topics",
    "dead-letters": "dead_letters",
    "config": "config",
    "doctor": "doctor.command",
    "local": "local",
}
"""Command -> module in `cli`. A module has either `app` (a Typer group) or `command` (a function).
A constant `HELP` of the module takes the place of the function's docstring in the help."""

STOPPED = 130

FAULT = 1
"""Exit code after a fault of this program, as Python itself gives it."""


def build() -> typer.Typer:
    """Returns the whole command line."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Finds named entities in a live stream of posts, and asks people about the uncertain ones.",
    )
    app.callback()(options)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(f"cli.{module_name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name, help=getattr(module, "HELP", None))(module.command)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mner {importlib.metadata.version('mner-streams')}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of `mner` itself."""


def main() -> None:
    """Runs the command line.

    An error that the user can correct prints one line on standard error, without a traceback. The exit code is 2. The
    same holds for errors of files and brokers that no command catches; MNER_LOG_LEVEL=DEBUG adds their traceback.
    """
    output.replace_unencodable()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # its errors also reach us as exceptions
    try:
        code = build()(standalone_mode=False)
        sys.stdout.flush()  # a reader that is gone is noticed here, not in the interpreter's exit
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # every subclass that is raised has `show`
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, typer.Abort):
        print("mner: stopped", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    except BrokenPipeError:  # `mner ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if not told(error):
            sys.stderr.write(scrub(traceback.format_exc()))
            raise SystemExit(FAULT) from None
        raise SystemExit(FAILED) from None
    raise SystemExit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
