"""The command `mner`: one command a file beside this one, gathered here.

Command modules import what is heavy (torch, Faust, servers) inside their functions, so that `--help` stays quick.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback

import typer

from core.errors import Retry, Stop, UserError
from core.text import printable

COMMANDS = {
    "demo": "demo",
    "worker": "worker",
    "feed": "feed",
    "predict": "predict",
    "look": "look.command",
    "train": "training.train",
    "evaluate": "training.evaluate",
    "calibrate": "training.calibrate",
    "review": "review",
    "queue": "queue",
    "search": "search",
    "topics": "topics",
    "dead-letters": "dead_letters",
    "config": "config",
    "doctor": "doctor.command",
    "local": "local",
}
"""Command -> module in `cli`. A module has either `app` (a Typer group) or `command` (a function)."""


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Named entities from a live stream of posts, with an uncertainty that decides what a person should see.",
    )
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(f"cli.{module_name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)
    return app


def main() -> None:
    """Run it. What a person can mend is one line on standard error and exit code 2, never a traceback.

    That goes for a file or a broker that fails where nobody expected it, too; MNER_LOG_LEVEL=DEBUG shows where.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # its errors reach us as exceptions
    try:
        code = build()(standalone_mode=False)
    except (UserError, Retry, Stop) as error:
        raise SystemExit(_told(str(error))) from None
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # every one that is raised has it
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, typer.Abort):
        print("mner: stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # `mner ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        from kafka.errors import KafkaError

        if not isinstance(error, (OSError, KafkaError)):
            raise
        if os.environ.get("MNER_LOG_LEVEL") == "DEBUG":
            traceback.print_exc()
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise SystemExit(_told(f"{where}{getattr(error, 'strerror', None) or repr(error)}")) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _told(message: str) -> int:
    print(f"mner: {printable(message)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
