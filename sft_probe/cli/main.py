"""The command line. Heavy libraries are imported by the commands that need them, so help is instant."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Sequence

import typer

from sft_probe.cli import (
    calibrate,
    card,
    compare,
    demo,
    gate,
    init,
    job,
    ls,
    probe,
    query,
    repair,
    report,
    run,
    validate,
    view,
    world,
)
from sft_probe.errors import InputError, SftProbeError, first_line

FAILED = 1
INTERRUPTED = 130  # what typer makes of Ctrl-C
STOPPED = "Stopped. What is finished is kept: the same command goes on from there."

app = typer.Typer(
    name="sft-probe",
    help="What a language model learns during fine-tuning: what, when, where, at what cost, how sure.",
    epilog="Exit codes: 0 done, 1 failed, 2 a gate was not met, 3 something given cannot be used.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(init.init)
app.command()(validate.validate)
app.command()(run.run)
app.command()(job.job)
app.command()(probe.probe)
app.command()(repair.repair)
app.command()(report.report)
app.command()(view.view)
app.command()(compare.compare)
app.command()(gate.gate)
app.command()(card.card)
app.command()(calibrate.calibrate)
app.add_typer(ls.app, name="ls")
app.command()(query.query)
app.add_typer(world.app, name="world")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors become one sentence on stderr."""
    _quiet_libraries()
    _stop_alike()
    try:
        code = int(app(args, standalone_mode=False) or 0)
        return _say(STOPPED, FAILED) if code == INTERRUPTED else code
    except SftProbeError as error:
        return _say(f"Error: {error}", error.exit_code)
    except typer.TyperException as error:  # bad usage; without a command, the message is the help
        message = error.format_message()
        is_help = message.startswith("Usage:")
        return _say(message if is_help else f"Error: {message} See sft-probe --help.", InputError.exit_code)
    except Exception as error:
        if os.environ.get("SFT_PROBE_DEBUG") == "1":
            raise
        return _say(f"Failed: {first_line(error)}{_keep_traceback()}", FAILED)


def _stop_alike() -> None:
    """Let SIGTERM, by which schedulers and containers stop a job, stop it as cleanly as Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _quiet_libraries() -> None:
    """Keep bars, hints and warnings of other libraries out of ours; what a user has set stays."""
    from sft_probe.execute.quiet import NOISY

    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=NOISY)
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }.items():
        os.environ.setdefault(name, value)


def _say(sentence: str, code: int) -> int:
    typer.echo(sentence, err=True)
    return code


def _keep_traceback() -> str:
    """Where the traceback is, in a sentence; empty if there is no room for it."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="sft-probe-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            log.write(traceback.format_exc())
    except OSError:
        return ""
    return f" The traceback is in {log.name}."


if __name__ == "__main__":
    sys.exit(main())
