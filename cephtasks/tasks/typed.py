"""Typed: turn a function into an Invoke task that has settings as its flags."""

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.parser.argument import Argument
from invoke.tasks import Task

from cephtasks import console, settings
from cephtasks.keys import KEYS, Key
from cephtasks.tasks.failures import one_line_failures
from cephtasks.tasks.positional import is_given
from cephtasks.tasks.session import Session

_SHARED_HELP = {
    "env_file": "read this settings file instead of .env",
    "json": "print one JSON document on stdout",
}

Body = Callable[..., None]
Check = Callable[[str], object]


def typed(
    *keys: str,
    positional: str | tuple[str, ...] = (),
    repeatable: Sequence[str] = (),
    checks: Mapping[str, Check] | None = None,
    **help_lines: str,
) -> Callable[[Body], "SettingsTask"]:
    """Make a task of a function that takes a Session and its own arguments.

    Each settings key that the task reads becomes a flag of it, as `--source-dir` for SOURCE_DIR.
    `checks` read arguments that are not settings, and raise UsageError; `help_lines` describe them, but for
    `json`, which means the same everywhere.
    """
    flags = {key.attribute: key for key in KEYS if key.name in keys}
    assert len(flags) == len(keys), keys  # noqa: S101 — a misspelt key is a fault of ours

    def decorate(body: Body) -> SettingsTask:
        @functools.wraps(body)
        def run(context: Context, **arguments: Any) -> None:
            given = {flags[name].name: _as_text(arguments.pop(name)) for name in flags}
            env_file = arguments.pop("env_file")
            with one_line_failures():
                folder = Path(context.config.cephtasks.folder)
                chosen = settings.load(
                    {name: text for name, text in given.items() if text is not None},
                    Path(env_file) if env_file else None,
                    folder,
                )
                for warning in chosen.warnings:
                    _warn_once(warning)
                run_settings = context.config.run
                with Session(chosen, folder, dry=run_settings.dry, echo=run_settings.echo) as session:
                    body(session, **arguments)

        own = list(inspect.signature(body).parameters.values())
        added = [_parameter(name, default=_flag_default(key)) for name, key in flags.items()]
        every = [*own, *added, _parameter("env_file", default=None)]
        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        return SettingsTask(
            run,
            name=body.__name__.strip("_").replace("_", "-"),
            positional=[positional] if isinstance(positional, str) else list(positional),
            iterable=list(repeatable),
            auto_shortflags=False,
            help={
                **{each.name: _SHARED_HELP[each.name] for each in every if each.name in _SHARED_HELP},
                **help_lines,
                **{name: key.comment for name, key in flags.items()},
            },
            checks={**{name: _setting_check(key) for name, key in flags.items()}, **(checks or {})},
        )

    return decorate


class SettingsTask(Task[Body]):
    """A task whose arguments are read and found wrong before any task of the line is started.

    A positional argument whose default is an empty string may be left out.
    """

    def __init__(self, *arguments: Any, checks: Mapping[str, Check], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._checks = checks
        self._own_names: Container[str] = ()
        self._task_names: Container[str] = ()

    def __eq__(self, other: object) -> bool:
        return (
            self is other
        )  # Invoke's own takes tasks of one name for one, such as status and registry.status

    __hash__ = Task.__hash__

    def know_names(self, own: Container[str], every: Container[str]) -> None:
        """Learn what this task and all others are called on the command line."""
        self._own_names, self._task_names = own, every

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Invoke's arguments, each with its check; asked for just before the command line is parsed."""
        plain = super().get_arguments(ignore_unknown_help)
        valued = {f"--{flag}" for each in plain if each.takes_value for flag in each.names}
        for argument in plain:
            if argument.positional and argument.default == "":
                given = is_given(sys.argv[1:], self._own_names, self._task_names, valued)
                argument.default = None if given else ""  # None makes the parser look for its value
        checks = [self._checks.get(argument.name or "") for argument in plain]
        return [
            _Checked(argument, check) if check else argument
            for argument, check in zip(plain, checks, strict=True)
        ]


class _Checked(Argument):
    """An argument that refuses an ill-formed value while the command line is parsed."""

    def __init__(self, plain: Argument, check: Check) -> None:
        super().__init__(
            names=plain.names,
            kind=plain.kind,
            default=plain.default,
            help=plain.help,
            positional=plain.positional,
            attr_name=plain.attr_name,
        )
        self._check = check

    def __deepcopy__(self, memo: object) -> "_Checked":
        """Invoke's parser copies all arguments of all tasks; nothing that one holds is changed in place."""
        return copy.copy(self)

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take a value; raises UsageError."""
        if isinstance(value, str):
            self._check(value)
        super().set_value(value, cast)


def _setting_check(key: Key) -> Check:
    return functools.partial(settings.check_flag, key)


def _parameter(name: str, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)


def _flag_default(key: Key) -> object:
    return False if key.is_switch else None


def _as_text(value: str | bool | None) -> str | None:
    """A flag's value as it would stand in `.env`; None where the flag was not given."""
    return ("true" if value else None) if isinstance(value, bool) or value is None else value


@functools.cache
def _warn_once(warning: str) -> None:
    console.warn(warning)
