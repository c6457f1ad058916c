"""`isthmus`: the one command, with a noun and a verb behind it.

Nouns live in modules of their own that are imported when they are used, so that `isthmus --help`
and shell completion are quick. This is the one place in the CLI that catches everything.
"""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from isthmus import errors
from isthmus.cli import complete, wording
from isthmus.model.form import is_text, name_near

#: What becomes of output that nobody can take: the disk is full, or it was closed.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG})

#: (noun, module below `isthmus.cli`, help, panel). Add yours here.
SUB_APPS: tuple[tuple[str, str, str, str], ...] = (
    ("site", "cloud.site", "Sites: add, watch, drain, remove them.", "Cloud"),
    ("network", "cloud.network", "Networks: at which sites they are present.", "Cloud"),
    ("router", "cloud.router", "Routers: by which sites their traffic leaves.", "Cloud"),
    ("port", "cloud.port", "Ports: what every tier knows of one.", "Cloud"),
    ("job", "cloud.job", "Jobs: what is on its way to the sites.", "Cloud"),
    ("event", "cloud.event", "Events: what happened, when, and who did it.", "Cloud"),
    ("lease", "cloud.lease", "Leases: which site gives out which addresses.", "Cloud"),
    ("status", "cloud.status", "How every site stands, at a glance.", "Cloud"),
    ("gone", "cloud.gone", "Removed sites that never let go of what they held.", "Cloud"),
    ("restored", "cloud.restored", "Say that a tier's database came from a backup.", "Cloud"),
    ("audit", "cloud.audit", "Compare what is wanted with what is, in all tiers.", "Cloud"),
    ("why", "diagnose.why", "Why one end does not reach another, and what repairs it.", "Cloud"),
    ("gather", "diagnose.gather", "Write what `why` reads into a file, without secrets.", "Cloud"),
    ("check", "diagnose.check", "Look for faults at all sites, without a question.", "Cloud"),
    ("pairs", "diagnose.pairs", "Which servers reach which, all pairs of them.", "Cloud"),
    ("explain", "diagnose.explain", "How an object is realised, down to the tap.", "Cloud"),
    ("cell", "compute.cell", "Cells of Nova: how they stand, what fits, their servers.", "Hosts"),
    ("lab", "lab", "A whole cloud on this machine.", "Lab"),
    ("demo", "demo", "Bring up a lab and stretch a network over its sites.", "Lab"),
    ("build", "hosts.build", "From racks to machines that run, by a fleet file.", "Hosts"),
    ("nfv", "hosts.nfv", "Plan and check hosts for packet processing.", "Hosts"),
)

DEBUG_VARIABLE = "ISTHMUS_DEBUG"


class _Deferred(TyperGroup):
    """Stands for a sub-app until it is used."""

    def __init__(self, name: str, module: str, text: str, panel: str) -> None:
        super().__init__(name=name, help=text, rich_help_panel=panel)
        self._module = module

    @override
    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Load the module and let its command take over."""
        app = importlib.import_module(f"isthmus.cli.{self._module}").app
        app._add_completion = False  # noqa: SLF001 - the root has it for all
        command = wording.reword(typer.main.get_command(app))
        return command.make_context(*arguments, **options)


class _Root(TyperGroup):
    """Knows the sub-apps by name only."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the nouns in the order of the list."""
        return [*(name for name, *_ in SUB_APPS), *super().list_commands(ctx)]

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the lazy group of a noun, or a command of this file."""
        for name, module, text, panel in SUB_APPS:
            if name == cmd_name:
                return _Deferred(name, module, text, panel)
        return super().get_command(ctx, cmd_name)

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; a word that is none is answered with the nouns that come near."""
        if (
            args
            and not ctx.resilient_parsing
            and self.get_command(ctx, args[0]) is None
            and not args[0].startswith("-")
        ):
            near = name_near(args[0], self.list_commands(ctx))
            ctx.fail(f"No such command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Root,
    name="isthmus",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _root(
    os_cloud: Annotated[
        str,
        typer.Option(
            "--os-cloud",
            metavar="NAME",
            help="Entry of clouds.yaml; also behind each command.",
            autocompletion=complete.clouds,
        ),
    ] = "",
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    """Many OpenStack sites, run as one cloud."""
    del version
    if os_cloud:
        os.environ["OS_CLOUD"] = os_cloud


@app.command()
def version() -> None:
    """Print the version."""
    from importlib import metadata

    print(metadata.version("isthmus"))


def run(arguments: list[str] | None = None) -> None:
    """Run as a process; exits with a code of `errors.POLICY`, 70 for a bug, 130 after Ctrl-C."""
    # keystoneauth goes on without it: a quarter of the time that a command takes to start.
    sys.modules.setdefault("osprofiler.web", None)  # type: ignore[arg-type]
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    _open_closed()
    if os.environ.get(DEBUG_VARIABLE):
        logging.basicConfig(level=logging.DEBUG)
    else:
        # What libraries warn of is said again, and better, by the error that follows.
        logging.getLogger().addHandler(logging.NullHandler())
    try:
        _check_completion(sys.argv[1:] if arguments is None else arguments)
        try:
            wording.reword(typer.main.get_command(app))(args=arguments, prog_name="isthmus")
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # the reader has seen enough
        return 0
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return _explain(error, sys.argv[1:] if arguments is None else arguments)
    return 0


def _explain(error: Exception, words: Sequence[str]) -> int:
    """Print what ended a command; return its exit code.

    Args:
        error: what ended it.
        words: those of the command.
    """
    from isthmus.cli import render

    odd = [word for word in words if not is_text(word, len(word))]
    if odd and isinstance(error, UnicodeEncodeError):
        error = errors.Invalid(f"{odd[0]!a} is not UTF-8: nothing has such a name")
    if isinstance(error, errors.IsthmusError):
        render.fail(error.message)
        return errors.consequence(error).exit_code
    if isinstance(error, OSError) and error.filename is not None:
        render.fail(
            f"{error.filename}: {error.strerror} ({DEBUG_VARIABLE}=1 shows what it was for)"
        )
        return errors.consequence(errors.Broken).exit_code
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        render.fail(f"the output cannot be written: {error.strerror}")
        _write_no_more()
        return errors.consequence(errors.Broken).exit_code
    render.fail(
        f"this is a bug in isthmus: {type(error).__name__}: {error}. "
        f"Run it again with {DEBUG_VARIABLE}=1 and report what it prints"
    )
    return errors.EXIT_BUG


def _check_completion(words: list[str]) -> None:
    """Refuse the name of a shell where the one is meant from which the command is run.

    Raises:
        Invalid: there is one; it would be ignored, and completion set up for another shell.
    """
    if len(words) > 1 and words[0] in {"--install-completion", "--show-completion"}:
        raise errors.Invalid(
            f"{words[0]} is for the shell from which it is run, and takes no name of one: run it "
            f"from {words[1]}"
        )


def _write_no_more() -> None:
    """Have nothing that is left in a buffer written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed() -> None:
    """Open for nothing what a person has closed (`>&-`): Python has no stream there at all."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - for good
