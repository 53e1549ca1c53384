"""Imports the program that TARGET names, and finds its pipeline or task, and its `items`."""

from __future__ import annotations

import inspect
import sys
from asyncio import CancelledError, Task, current_task
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from stat import S_ISREG
from types import ModuleType
from typing import Any, cast

from antflow import AntFlowError, Limit, Pipeline, PipelineBuilder, TaskFunc
from antflow.builder import stages_for
from antflow.inputs import single_item
from antflow.logs import text_of

from ._printing import format_program_error
from ._texts import nearest

ITEMS = "items"
FORM = "write module:pipeline or file.py:pipeline"
WANTED = (
    "a Pipeline, a builder, a function without arguments that returns either, an async context "
    "manager that yields either, or a task, which is a function of one argument"
)
NO_TASK = (
    "it was called for a pipeline, since it needs no argument; if it is meant as a task, give it "
    "exactly one required argument (a decorator needs functools.wraps)"
)


class TargetError(Exception):
    """The target cannot be run; the text says why, and how to fix it.

    Args:
        text: the message.
        traceback: of the program's error, printed before the message.
    """

    def __init__(self, text: str, traceback: str = "") -> None:
        super().__init__(text)
        self.traceback = traceback


@dataclass(frozen=True)
class TaskOptions:
    """Options of the stage that is made of a task; None for those that are not given.

    Args:
        retries: the most attempts, the first included.
        retry_wait: seconds between two attempts.
        timeout: seconds that one attempt may take.
        limit: how many attempts may start, and within how many seconds.
    """

    retries: int | None = None
    retry_wait: float | None = None
    timeout: float | None = None
    limit: tuple[float, float] | None = None

    def given(self) -> dict[str, Any]:
        """Return the options that are given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Target:
    """A pipeline of a program, what makes one (a builder, function, context manager), or a task.

    Args:
        text: TARGET, as given.
        module: the program.
        found: the object of that name in the program.
    """

    text: str
    module: ModuleType
    found: object

    @property
    def is_task(self) -> bool:
        """Whether it is a function of one argument."""
        found = self.found
        if isinstance(found, Pipeline | PipelineBuilder) or _is_manager(found):
            return False
        return callable(found) and not _accepts(found) and _accepts(found, None)

    async def pipeline(self, task_options: TaskOptions, entered: AsyncExitStack) -> Pipeline:
        """Return the pipeline; build it, call what returns it, enter what yields it, or make it.

        Args:
            task_options: of the stage that is made of a task.
            entered: leaves the context manager that yields the pipeline.

        Raises:
            TargetError: the object is of another kind, raises, or is running already; or it is no
                task, and there are options of a task.
        """
        found = self.found
        if self.is_task:
            return self._of_task(task_options)
        if options := [f"--{name.replace('_', '-')}" for name in task_options.given()]:
            raise TargetError(
                f"{self.text} is no task; the stages of a pipeline have their own attempts and "
                f"limits, so leave out {' and '.join(options)}"
            )
        what, remedy = "is ", f"name {WANTED}"
        is_made = isinstance(found, Pipeline | PipelineBuilder) or _is_manager(found)
        if not is_made and callable(found):
            when = ""
            if _accepts(found, None):
                when, remedy = f"; {NO_TASK}", NO_TASK
            found, what = await _call(found, self.text, remedy, when), "returned "
        if _is_manager(found):
            manager = TargetManager(cast("AbstractAsyncContextManager[object]", found), self.text)
            found, what = await entered.enter_async_context(manager), "yielded "
        if isinstance(found, PipelineBuilder):
            try:
                found = found.build()
            except Exception as error:
                raise _target_error(f"{self.text} cannot be built", error) from error
        if not isinstance(found, Pipeline):
            raise TargetError(f"{self.text} {what}{_kind(found)}; {remedy}")
        if found.is_running:
            raise TargetError(f"{self.text} is running already; leave its start to antflow run")
        return found

    def _of_task(self, options: TaskOptions) -> Pipeline:
        given = options.given()
        if "timeout" in given:
            given["task_timeout"] = given.pop("timeout")
        if "limit" in given:
            rate, per = given.pop("limit")
            given["limits"] = [Limit(rate=rate, per=per)]
        try:
            return Pipeline(stages_for(cast("TaskFunc", self.found), **given))
        except AntFlowError as error:
            raise _target_error(f"{self.text} cannot be run as a task", error) from error

    @property
    def has_items(self) -> bool:
        """Whether the program defines `items`."""
        return getattr(self.module, ITEMS, None) is not None

    async def items(self) -> Iterable[Any] | AsyncIterable[Any]:
        """Return the program's `items`; call them if they are a function.

        Raises:
            TargetError: they are not iterable, or raise.
        """
        found = getattr(self.module, ITEMS)
        name = f"{ITEMS!r} of {self.module.__name__}"
        remedy = (
            "make it an iterable or async iterable, or a function without arguments that returns "
            "one, or give --input"
        )
        if callable(found) and not isinstance(found, Iterable | AsyncIterable):
            found = await _call(found, name, remedy)
        if (problem := single_item(found)) is not None:
            raise TargetError(f"{name} must be many items, but {problem}")
        if not isinstance(found, Iterable | AsyncIterable):
            raise TargetError(f"{name} is {_kind(found)}; {remedy}")
        return found


def load(text: str) -> Target:
    """Import the program of a target, and find the target in it.

    Raises:
        TargetError: there is no such program, it raises, or it does not have that name.
    """
    program, _, name = text.rpartition(":")
    if not program or not name:
        named = text.strip(":")
        example = named if named.strip("./\\") else "jobs.py"
        raise TargetError(f"TARGET is {text!r}; {FORM}, such as {example}:pipeline")
    is_file = program.endswith(".py") or "/" in program or "\\" in program
    if program.startswith(".") and not is_file:
        raise TargetError(f"{program!r} is not a module; {FORM}")
    module = _from_file(program) if is_file else _from_module(program)
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(f"{program} has no {name!r}; {_suggestion(module, name)}") from None
    return Target(text, module, found)


def _from_file(program: str) -> ModuleType:
    path = Path(program)
    try:
        if not S_ISREG(path.stat().st_mode):
            raise TargetError(f"{program} is not a file; {FORM}")
        path = path.resolve()
    except (FileNotFoundError, NotADirectoryError):
        raise TargetError(f"{program} is not there, seen from {Path.cwd()}; {FORM}") from None
    except OSError as error:  # a folder is closed to the user, or the name is too long
        raise TargetError(f"{program} cannot be read: {error.strerror}; {FORM}") from None
    sys.path.insert(0, str(path.parent))  # as `python file.py` does
    name = path.stem
    # A file named json.py must not replace the module that others import. Any other has the name
    # by which child processes import it.
    if "." in name or name in sys.modules or name in sys.stdlib_module_names:
        name = f"antflow_run_{name.replace('.', '_')}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{program} is not a Python file; {FORM}")
    module = sys.modules[name] = module_from_spec(spec)
    with _explain_import_error(program):
        spec.loader.exec_module(module)
    return module


def _from_module(program: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    with _explain_import_error(program):
        try:
            return import_module(program)
        except ModuleNotFoundError as error:
            # A module that the program imports is missing, not the program.
            if error.name is None or not f"{program}.".startswith(f"{error.name}."):
                raise
            raise TargetError(
                f"There is no module {error.name!r}, here or installed; run this where it is, "
                "install it, or name its file: file.py:pipeline"
            ) from None


def _may_be_target(found: object) -> bool:
    is_function = callable(found) and not isinstance(found, type)
    return is_function or isinstance(found, Pipeline | PipelineBuilder) or _is_manager(found)


def _suggestion(module: ModuleType, name: str) -> str:
    """Return the end of an error message: similar names, or the accepted kinds."""
    public = {each: value for each, value in vars(module).items() if not each.startswith("_")}
    targets = [each for each, value in public.items() if _may_be_target(value)]
    if (close := nearest(name, targets)) is not None:
        return f"did you mean {close!r}?"
    pipelines = [each for each in targets if isinstance(public[each], Pipeline | PipelineBuilder)]
    if pipelines:
        return f"its pipelines are: {', '.join(pipelines)}"
    return f"name {WANTED}; it has to stand at the top level of the program, in no function"


class TargetManager:
    """An async context manager of a program, whose errors become target errors.

    Args:
        manager: of the program; left without an error, whatever the command raises.
        text: TARGET, as given.
    """

    def __init__(self, manager: AbstractAsyncContextManager[object], text: str) -> None:
        self._manager = manager
        self._text = text

    async def __aenter__(self) -> object:
        with _explain_error(self._text, " on entering"):
            return await self._manager.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        with _explain_error(self._text, " on leaving"):
            await self._manager.__aexit__(None, None, None)


async def _call(function: Any, name: str, remedy: str, when: str = "") -> Any:
    _check_signature(function, name, remedy)
    with _explain_error(name, when):
        made = function()
        return await made if inspect.isawaitable(made) else made


@contextmanager
def _explain_error(name: str, when: str = "") -> Iterator[None]:
    """Raise errors of a function as TargetError.

    Args:
        name: of the function, in the error's text.
        when: it is called; with a space in front.

    Raises:
        TargetError: the function raised.
    """
    try:
        yield
    except BaseException as error:
        if _is_requested(error):
            raise
        what = f"{name} raised{when}"
        if isinstance(error, SystemExit):
            what = f"{name} ends the program{when}; have it return, or raise another error"
        raise _target_error(what, error) from error


@contextmanager
def _explain_import_error(program: str) -> Iterator[None]:
    """Raise errors of an import as TargetError, with the reason.

    Raises:
        TargetError: the import failed.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, TargetError) or _is_requested(error):
            raise
        what = f"{program} cannot be imported"
        if isinstance(error, SystemExit):
            what += ' since it ends the program; put what it runs under if __name__ == "__main__"'
        if isinstance(error, ModuleNotFoundError) and error.name is not None:
            what += f"; install what has {error.name!r}"
        if isinstance(error, ImportError) and "relative import" in str(error):
            what += (
                " as a file, since it belongs to a package; name its module: package.module:name"
            )
        raise _target_error(what, error) from error


def _is_requested(error: BaseException) -> bool:
    """Return whether the command was cancelled or interrupted, rather than the program raised."""
    if isinstance(error, CancelledError):
        task = _current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def _current_task() -> Task[Any] | None:
    try:
        return current_task()
    except RuntimeError:  # no event loop runs while the program is imported
        return None


def _is_manager(found: object) -> bool:
    """Return whether an object is an async context manager, other than a pipeline."""
    return isinstance(found, AbstractAsyncContextManager) and not isinstance(found, Pipeline)


def _accepts(function: Any, *arguments: object) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # functions in C may have no signature
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _check_signature(function: Any, name: str, remedy: str) -> None:
    if not _accepts(function):
        signature = inspect.signature(function)
        raise TargetError(f"{name} takes arguments, {signature}; {remedy}")


def _kind(value: object) -> str:
    if inspect.isasyncgen(value):
        return "an async generator, whose function lacks contextlib.asynccontextmanager"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _target_error(what: str, error: BaseException) -> TargetError:
    return TargetError(
        f"{what}: {type(error).__name__}: {text_of(error)}", format_program_error(error)
    )
