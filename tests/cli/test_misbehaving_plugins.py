"""Plugins that exit, raise, or remove options in the hooks of `antflow run`."""

from __future__ import annotations

import sys
from argparse import Action
from collections.abc import Callable
from typing import Any

import pytest

from antflow import PluginError, Stage, hookimpl
from antflow.testing import CommandRun, Recorder, run_command

ITEMS = [1, 2, 3]
OTHER = "--other-speed"


async def double(value: int) -> int:
    return 2 * value


class Acting:
    """A plugin that does something in a hook of the command, and counts its runs."""

    antflow_name = "acting"

    def __init__(self, hook: str, act: Callable[[Any], object]) -> None:
        def antflow_add_options(parser: Any) -> None:
            parser.add_argument("--acting", help="do something")
            act(parser)

        def antflow_configure(options: Any) -> None:
            act(options)

        made = {"add_options": antflow_add_options, "configure": antflow_configure}[hook]
        setattr(self, f"antflow_{hook}", hookimpl(made))
        self.runs = 0

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.runs += 1


class Other:
    """A plugin beside it, with an option."""

    antflow_name = "other"
    speed: Any = None

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        parser.add_argument(OTHER, type=int)

    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        self.speed = options.other_speed


def raising(error: BaseException) -> Callable[[Any], object]:
    def act(_: object) -> None:
        raise error

    return act


def run(*plugins: object, options: tuple[str, ...] = ()) -> CommandRun:
    return run_command(Stage("Double", 1, [double]), ITEMS, plugins, ["--ordered", *options])


def values(run: CommandRun) -> list[int]:
    return [result["value"] for result in run.results]


ENDS: dict[str, BaseException] = {
    "exit": SystemExit(0),
    "exit with a code": SystemExit(7),
    "exit with a text": SystemExit("no licence"),
    "OSError": OSError("no such device"),
    "KeyError": KeyError("speed"),
    "GeneratorExit": GeneratorExit(),
    "BaseException": BaseException("odd"),
}


@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("hook", ["add_options", "configure"])
@pytest.mark.parametrize("end", ENDS)
def test_a_plugin_that_raises_or_exits_is_named_and_left_out(
    end: str, hook: str, *, first: bool
) -> None:
    acting, other = Acting(hook, raising(ENDS[end])), Other()
    made = run(*([acting, other] if first else [other, acting]), options=(OTHER, "3"))
    assert (made.exit_code, values(made), made.failures) == (0, [2, 4, 6], [])
    assert made.messages.startswith("warning: plugin 'acting' cannot ")
    assert made.messages.count("\n") == 1
    assert "Traceback" not in made.messages
    assert (acting.runs, other.speed) == (0, 3)


def test_a_plugin_that_is_interrupted_interrupts_the_command() -> None:
    for hook in "add_options", "configure":
        assert run(Acting(hook, raising(KeyboardInterrupt()))).exit_code == 130


@pytest.mark.parametrize("error", [ValueError("no such speed"), PluginError("no such speed")])
def test_options_that_a_plugin_rejects_are_wrong_usage(error: Exception) -> None:
    made = run(Acting("configure", raising(error)))
    assert (made.exit_code, made.results) == (2, [])
    assert made.messages.endswith("error: plugin 'acting': no such speed\n")


def test_what_hooks_of_the_command_print_is_not_among_the_results() -> None:
    for hook in "add_options", "configure":
        made = run(Acting(hook, lambda _: sys.stdout.write("hello\n")))
        assert (made.exit_code, made.printed, made.messages) == (0, "", "hello\n")


# Options


def remove_output(group: Any) -> None:
    group._option_string_actions.pop("--output")


PARSERS: dict[str, Callable[[Any], object]] = {
    "clear the options": lambda group: group._actions.clear(),
    "remove an option": lambda group: group._actions.pop(0),
    "remove a name": remove_output,
    "change a default": lambda group: group.set_defaults(dashboard="progress"),
    "replace an option": lambda group: group._option_string_actions.update(
        {"--output": group.add_argument("--acting-output")}
    ),
    "clear the defaults": lambda group: group._defaults.clear(),
}


@pytest.mark.parametrize("act", PARSERS)
def test_a_plugin_that_changes_other_options_is_named_and_left_out(act: str) -> None:
    acting, other = Acting("add_options", PARSERS[act]), Other()
    made = run(other, acting, options=(OTHER, "3"))
    assert (made.exit_code, values(made), other.speed, acting.runs) == (0, [2, 4, 6], 3, 0)
    assert (
        "'acting' cannot add its options: RuntimeError: it has removed or changed" in made.messages
    )


NAMESPACES: dict[str, Callable[[Any], object]] = {
    "delete all": lambda options: vars(options).clear(),
    "delete the target": lambda options: delattr(options, "target"),
    "delete the display": lambda options: delattr(options, "dashboard"),
    "delete the option of another": lambda options: delattr(options, "other_speed"),
    "set the output": lambda options: setattr(options, "output", "/nowhere/at/all"),
    "set another type": lambda options: setattr(options, "drain_seconds", "soon"),
    "add items": lambda options: options.items.extend("abc"),
}


@pytest.mark.parametrize("act", NAMESPACES)
def test_the_options_that_a_plugin_gets_are_its_own(act: str) -> None:
    acting, other = Acting("configure", NAMESPACES[act]), Other()
    made = run(other, acting, options=(OTHER, "3"))
    assert (made.exit_code, values(made), made.messages) == (0, [2, 4, 6], "")
    assert (other.speed, acting.runs) == (3, 1)


@pytest.mark.parametrize("dashboard", [5, object(), ["progress"], b"progress", True])
def test_a_display_that_is_no_name_is_the_fault_of_its_plugin(dashboard: object) -> None:
    acting = Acting("configure", lambda options: setattr(options, "dashboard", dashboard))
    made = run(acting)
    assert (made.exit_code, values(made), acting.runs) == (0, [2, 4, 6], 0)
    assert "give the name of a display" in made.messages


# What an option's `type` and `action` raise


def divide(_: str) -> float:
    return 1 / 0


class Raise(Action):
    def __call__(self, *_: object) -> None:
        raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"type": divide}, "argument --acting-x: '1' cannot be read: ZeroDivisionError: division"),
        ({"type": sys.exit}, "argument --acting-x: '1' cannot be read: SystemExit: 1"),
        ({"type": "abc".index}, "argument --acting-x: invalid index value: '1'"),
        ({"action": Raise}, "an option cannot be read: LookupError: no such thing"),
    ],
)
def test_an_option_that_cannot_be_read_is_wrong_usage(fields: dict[str, Any], text: str) -> None:
    acting = Acting("add_options", lambda group: group.add_argument("--acting-x", **fields))
    made = run(acting, options=("--acting-x", "1"))
    assert made.exit_code == 2
    assert text in made.messages
    assert "Traceback" not in made.messages


# Two displays


class Board:
    def __init__(self, name: str) -> None:
        self.antflow_name = name

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        name = self.antflow_name
        parser.add_argument(f"--{name}", dest="dashboard", action="store_const", const=name)

    @hookimpl
    def antflow_dashboard(self, name: str) -> Any:
        return Shown() if name == self.antflow_name else None


class AskingBoard(Board):
    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        options.dashboard = self.antflow_name


class Shown:
    def on_start(self, *_: object) -> None: ...
    def on_update(self, *_: object) -> None: ...
    def on_finish(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("asking", "options", "text"),
    [
        ((), ("--one", "--two"), "--one and --two ask for a display each; give one of them"),
        (("one", "two"), (), "plugin 'one' asks for display 'one' beside 'two'; choose one"),
        (("two",), ("--one",), "plugin 'two' asks for display 'two' beside 'one'; choose one"),
    ],
)
def test_two_displays_at_once_are_wrong_usage(
    asking: tuple[str, ...], options: tuple[str, ...], text: str
) -> None:
    boards = [AskingBoard(name) if name in asking else Board(name) for name in ("one", "two")]
    made = run(*boards, options=options)
    assert (made.exit_code, made.results) == (2, [])
    assert text in made.messages


@pytest.mark.parametrize("options", [("--one", "--one"), ("--one",), ()])
def test_one_display_may_be_asked_for_twice(options: tuple[str, ...]) -> None:
    assert run(AskingBoard("one"), Board("two"), options=options).exit_code == 0


# A plugin that refuses the run


def test_a_plugin_that_refuses_the_run_is_quoted() -> None:
    class Refusing:
        antflow_name = "journal"

        @hookimpl
        async def antflow_pipeline_start(self) -> None:
            raise PluginError("the journal 'x.jsonl' cannot be written; name another file")

    recorder = Recorder()
    made = run(Refusing(), recorder)
    assert (made.exit_code, made.results, made.failures) == (1, [], [])
    assert made.messages == (
        "antflow run: plugin 'journal' refuses the run: the journal 'x.jsonl' cannot be written; "
        "name another file\n"
    )
    assert recorder.of("task_start") == []
