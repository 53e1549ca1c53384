"""TARGET: the pipelines that are found, and the errors if there is none."""

from __future__ import annotations

import re
import sys
import time

import pytest

from tests.helpers.command import PRELUDE, Command

MAKERS = """
from contextlib import asynccontextmanager

def naming(name):
    async def name_of(item):
        return name
    return name_of

pipeline = one(naming("ready"))
builder = Pipeline.create().add("Work", naming("built"))
unfinished = Pipeline.create()
number = 3

class Holder:
    inner = pipeline

def make(): return builder
async def make_later(): return pipeline
def nothing(): pass
def raising(): raise LookupError("no account")
def leaving(): raise SystemExit("no key")
async def cancelled(): raise asyncio.CancelledError("nothing to do")

class Maker:
    def __call__(self): return pipeline
maker = Maker()

@asynccontextmanager
async def managed():
    print("opened")
    try:
        yield one(naming("managed"))
    finally:
        await asyncio.sleep(0)
        print("closed")
manager = managed()

@asynccontextmanager
async def managed_builder(): yield builder
def make_manager(): return managed()
async def make_manager_later(): return managed()

class Manager:
    async def __aenter__(self): return pipeline
    async def __aexit__(self, *_): pass

@asynccontextmanager
async def managed_nothing():
    try:
        yield
    finally:
        print("closed")

@asynccontextmanager
async def not_entered():
    raise LookupError("no database")
    yield

@asynccontextmanager
async def not_left():
    yield one(naming("managed"))
    raise LookupError("lost connection")

async def undecorated(): yield pipeline

async def started():
    await pipeline.start()
    return pipeline

async def streamed():
    streamed = one(naming("streamed"))
    async for _ in streamed.stream([1, 2]):
        break
    return streamed
"""


def run_target(command: Command, target: str) -> tuple[int, str, str]:
    """Return exit code, the output of one item, and the text of an error, which ends a usage."""
    ran = command("run", target, "1", "--values")
    usage = "usage: antflow run [OPTIONS] TARGET [ITEM ...]\nantflow run: error: "
    assert (usage in ran.err) is (ran.code == 2)
    return ran.code, ran.out, ran.err.replace(usage, "")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pipeline", "ready"),
        ("Holder.inner", "ready"),
        ("builder", "built"),
        ("make", "built"),
        ("make_later", "ready"),
        ("maker", "ready"),
        ("streamed", "streamed"),
        ("managed_builder", "built"),
        ("Manager", "ready"),
    ],
)
def test_a_pipeline_a_builder_or_a_function(command: Command, name: str, found: str) -> None:
    command.write("jobs.py", PRELUDE + MAKERS)
    command.write("pack/__init__.py", "")
    command.write("pack/inner.py", PRELUDE + MAKERS)
    for program in "jobs.py", str(command.folder / "jobs.py"), "jobs", "pack.inner":
        assert run_target(command, f"{program}:{name}") == (0, f'"{found}"\n', "")


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("managed", "opened\nclosed\n"),
        ("manager", "opened\nclosed\n"),
        ("make_manager", "opened\nclosed\n"),
        ("make_manager_later", "opened\nclosed\n"),
    ],
)
def test_an_async_context_manager(command: Command, name: str, printed: str) -> None:
    command.write("jobs.py", PRELUDE + MAKERS)
    assert run_target(command, f"jobs.py:{name}") == (0, '"managed"\n', printed)


def test_a_context_manager_surrounds_the_run(command: Command) -> None:
    program = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def service():
    async def work(name):
        print(name)
        return name
    print("opened")
    yield one(work)
    with open("results") as file:
        print("closed after", file.read())
"""
    command.write("jobs.py", PRELUDE + program)
    ran = command("run", "jobs.py:service", "ant", "--values", "--output", "results")
    assert (ran.code, ran.out) == (0, 'opened\nant\nclosed after "ant"\n\n')


def test_a_context_manager_is_left_if_nothing_is_run(command: Command) -> None:
    command.write("jobs.py", PRELUDE + MAKERS)
    ran = command("run", "jobs.py:managed", "--input", "none")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("opened\nclosed\nusage: ")


def test_a_context_manager_that_raises_on_leaving(command: Command) -> None:
    command.write("jobs.py", PRELUDE + MAKERS)
    ran = command("run", "jobs.py:not_left", "ant", "--values")
    assert (ran.code, ran.out) == (1, '"managed"\n')
    assert "in not_left\n" in ran.err
    assert ran.report == ["jobs.py:not_left raised on leaving: LookupError: lost connection"]


def test_a_file_finds_its_neighbours_and_itself(command: Command) -> None:
    command.write("deep/neighbour.py", PRELUDE + MAKERS)
    text = "import sys\nfrom neighbour import pipeline\nme = sys.modules[__name__]\n"
    command.write("deep/jobs.py", text)
    assert run_target(command, "deep/jobs.py:me.pipeline") == (0, '"ready"\n', "")


@pytest.mark.parametrize("name", ["json", "pytest", "my.jobs"])
def test_the_name_of_a_file_hides_no_module(command: Command, name: str) -> None:
    text = f"async def task(_): return sys.modules.get({name!r}) is None or __name__"
    command.write(f"{name}.py", f"{PRELUDE}{text}\npipeline = one(task)\n")
    code, out, _ = run_target(command, f"{name}.py:pipeline")
    module = f"antflow_run_{name.replace('.', '_')}"
    assert (code, out) == (0, "true\n" if name not in sys.modules else f'"{module}"\n')


def test_child_processes_import_a_file_by_its_name(command: Command) -> None:
    program = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

def double(number):
    return 2 * number

@asynccontextmanager
async def service():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        async def task(number):
            return await asyncio.get_running_loop().run_in_executor(pool, double, number)
        yield one(task)
"""
    command.write("my-jobs 2.py", PRELUDE + program)
    ran = command("run", "my-jobs 2.py:service", "--values", given="4\n")
    assert (ran.code, ran.out, ran.err) == (0, "8\n", "")


TASKS = """
from functools import partial

calls = []

def shout(name): return f"{name.upper()}!"
async def shout_later(name): return shout(name)

def shout_as(mark, name, end=""): return name.upper() + mark + end
shout_so = partial(shout_as, "!")

class Shouter:
    def __call__(self, name): return shout(name)
    def shout(self, name): return shout(name)
shouter = Shouter()

async def failing(name):
    raise OSError("busy")

async def hanging(name):
    calls.append(name)
    if len(calls) < 3:
        await asyncio.sleep(60)
    return shout(name)

def generating(name): yield name
def two(name, mark): ...
def optional(name="ant"): return name
def decorate(task): return lambda *arguments: task(*arguments)
decorated = decorate(shout)
def named(*, name): ...
"""


@pytest.mark.parametrize(
    "name", ["shout", "shout_later", "shout_so", "shouter", "shouter.shout", "str.upper"]
)
def test_a_task(command: Command, name: str) -> None:
    command.write("jobs.py", PRELUDE + TASKS + "str = str\n")
    end = "" if name == "str.upper" else "!"
    assert run_task(command, name, "ant", "--values") == (0, f'"ANT{end}"\n', "")


def run_task(command: Command, name: str, *arguments: object) -> tuple[int, str, str]:
    ran = command("run", f"jobs.py:{name}", *arguments)
    return ran.code, ran.out, ran.err


@pytest.mark.parametrize(("options", "attempts"), [([], 3), (["--retries", "5"], 5)])
def test_attempts_of_a_task(command: Command, options: list[str], attempts: int) -> None:
    command.write("jobs.py", PRELUDE + TASKS)
    options += ["--retry-wait", "0.01", "--failures", "f"]
    ran = command("run", "jobs.py:failing", "ant", *options)
    assert ran.code == 1
    (record,) = ran.records("f")
    assert (record["stage"], record["attempts"]) == ("Failing", attempts)
    assert "OSError x1 in Failing: busy" in ran.err


def test_the_time_limit_of_a_task(command: Command) -> None:
    command.write("jobs.py", PRELUDE + TASKS)
    options = "--values", "--timeout", "0.05", "--retry-wait", "0"
    assert run_task(command, "hanging", "ant", *options) == (0, '"ANT!"\n', "")


@pytest.mark.parametrize("limit", ["20/0.2", "1e2/1", "5/.05"])
def test_the_rate_of_a_task(command: Command, limit: str) -> None:
    command.write("jobs.py", PRELUDE + TASKS)
    rate, seconds = map(float, limit.split("/"))
    began = time.perf_counter()
    code, out, err = run_task(command, "shout", *"abcdef", "--values", "--limit", limit)
    assert (code, len(out.split()), err) == (0, 6, "")
    assert time.perf_counter() - began >= 5 * seconds / rate - 0.01  # evenly spaced


@pytest.mark.parametrize("name", ["pipeline", "builder", "make", "make_later"])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--retries=3"], "leave out --retries\n"),
        (["--retry-wait=0"], "leave out --retry-wait\n"),
        (["--timeout=9", "--retries=1"], "leave out --retries and --timeout\n"),
        (["--limit=9/60"], "leave out --limit\n"),
    ],
)
def test_options_of_a_task_need_a_task(
    command: Command, name: str, options: list[str], named: str
) -> None:
    command.write("jobs.py", PRELUDE + MAKERS)
    code, out, err = run_task(command, name, "ant", *options)
    assert (code, out) == (2, "")
    assert f"jobs.py:{name} is no task; the stages of a pipeline have their own attempts and" in err
    assert err.endswith(named)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        *((f"--retries={text}", "number of attempts; it") for text in ("0", "-1", "1.5", "x", "")),
        (f"--retries={'9' * 5_000}", "number of attempts; it"),
        *((f"--retry-wait={text}", "number of seconds; give 0") for text in ("-1", "nan", "soon")),
        *(
            (f"--timeout={text}", f"{text!r} is not a time limit; give seconds above 0")
            for text in ("-1", "inf", "", "0")
        ),
        *(
            (
                f"--limit={text}",
                f"{text!r} starts less than one attempt in its window; give {right}",
            )
            for text, right in (("0.5/1", "1/2\n"), ("0.1/60", "1/600\n"))
        ),
        *(
            (f"--limit={text}", f"{text!r} is not a rate; give RATE/SECONDS, such as 100/60")
            for text in (
                "5",
                "5/",
                "/5",
                "",
                "0/1",
                "5/0",
                "-1/1",
                "nan/1",
                "1/inf",
                "5/s",
                "1/2/3",
            )
        ),
        ("--retry-wait=1e99", "cannot be run as a task: StageValidationError: Stage 'Shout' has"),
    ],
)
def test_options_of_a_task_that_make_no_sense(command: Command, option: str, error: str) -> None:
    command.write("jobs.py", PRELUDE + TASKS)
    code, out, err = run_task(command, "shout", "ant", option)
    assert (code, out) == (2, "")
    assert error in err
    assert "Traceback" not in err


# What is refused

RAISING = {"raising", "leaving", "cancelled", "not_entered"}
FORM = "write module:pipeline or file.py:pipeline"


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("jobs", f"TARGET is 'jobs'; {FORM}, such as jobs:pipeline"),
        ("jobs.py:", f"TARGET is 'jobs.py:'; {FORM}, such as jobs.py:pipeline"),
        (":pipeline", f"TARGET is ':pipeline'; {FORM}, such as pipeline:pipeline"),
        ("", f"TARGET is ''; {FORM}, such as jobs.py:pipeline"),
        (".", f"TARGET is '.'; {FORM}, such as jobs.py:pipeline"),
        (".:pipeline", f"'.' is not a module; {FORM}"),
        ("..a:pipeline", f"'..a' is not a module; {FORM}"),
        ("none.py:pipeline", f"none.py is not there, seen from {{folder}}; {FORM}"),
        ("folder.py:pipeline", f"folder.py is not a file; {FORM}"),
        ("./notes.txt:pipeline", f"./notes.txt is not a Python file; {FORM}"),
        ("none:pipeline", "There is no module 'none', here or installed; run this where it is, "),
        ("folder.none:pipeline", "There is no module 'folder.none', here or installed; "),
        ("jobs.py:pipelines", "jobs.py has no 'pipelines'; did you mean 'pipeline'?"),
        ("jobs.py:make.x", "jobs.py has no 'make.x'; did you mean 'make'?"),
        ("jobs.py:manged", "did you mean 'managed'?"),
        ("jobs.py:zzz", "jobs.py has no 'zzz'; its pipelines are: pipeline, builder, unfinished"),
        ("near.py:makepipeline", "did you mean 'make_pipeline'?"),
        ("near.py:zzz", "'zzz'; name a Pipeline, a builder, a function without arguments that"),
        ("main.py:pipeline", "it has to stand at the top level of the program, in no function"),
        (
            "jobs.py:number",
            "jobs.py:number is a value of type int; name a Pipeline, a builder, a function",
        ),
        ("tasks.py:two", "tasks.py:two takes arguments, (name, mark); name a Pipeline"),
        ("tasks.py:named", "tasks.py:named takes arguments, (*, name); name a Pipeline"),
        ("tasks.py:generating", "cannot be run as a task: StageValidationError: Stage 'Generating"),
        ("tasks.py:optional", "tasks.py:optional returned a value of type str; it was called"),
        ("tasks.py:decorated", "raised; it was called for a pipeline, since it needs no "),
        (f"{'long' * 100}.py:pipeline", f"cannot be read: File name too long; {FORM}"),
        ("jobs.py:nothing", "jobs.py:nothing returned None; name a Pipeline"),
        ("jobs.py:raising", "jobs.py:raising raised: LookupError: no account"),
        (
            "jobs.py:leaving",
            "ends the program; have it return, or raise another error: SystemExit: no key",
        ),
        ("jobs.py:cancelled", "jobs.py:cancelled raised: CancelledError: nothing to do"),
        ("jobs.py:not_entered", "not_entered raised on entering: LookupError: no database"),
        ("jobs.py:managed_nothing", "jobs.py:managed_nothing yielded None; name a Pipeline"),
        ("jobs.py:undecorated", "an async generator, whose function lacks contextlib.asynccont"),
        ("jobs.py:started", "is running already; leave its start to antflow run"),
        ("jobs.py:unfinished", "cannot be built: PipelineError: Pipeline 'pipeline' must have"),
    ],
)
def test_a_target_that_is_no_pipeline(command: Command, target: str, error: str) -> None:
    command.write("jobs.py", PRELUDE + MAKERS)
    command.write("tasks.py", PRELUDE + TASKS)
    command.write("near.py", "def make_pipeline(): ...")
    command.write(
        "main.py", "from antflow import Pipeline\ndef main():\n    pipeline = Pipeline()\n"
    )
    command.write("notes.txt", "")
    command.write("folder/__init__.py", "")
    (command.folder / "folder.py").mkdir()
    code, out, text = run_target(command, target)
    assert (code, out) == (2, "")
    assert error.replace("{folder}", str(command.folder)) in text
    name = target.rpartition(":")[2]
    assert (f"in {name}\n" in text) is (name in RAISING)


@pytest.mark.parametrize(
    ("program", "error", "shown"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero", 'wrong.py", line 1'),
        ("x = (", "cannot be imported: SyntaxError: ", 'wrong.py", line 1\n    x = (\n'),
        ("import none", "cannot be imported; install what has 'none': ModuleNotFound", "line 1"),
        (
            "raise SystemExit('bye')",
            'since it ends the program; put what it runs under if __name__ == "__main__": SystemEx',
            "line 1",
        ),
        (
            "from . import other",
            "as a file, since it belongs to a package; name its module: package.module:name",
            "line 1",
        ),
        ("import asyncio\nraise asyncio.CancelledError", "imported: CancelledError", "line 2"),
    ],
)
@pytest.mark.parametrize("target", ["wrong.py", "wrong"])
def test_a_program_that_cannot_be_imported_is_shown_where_it_raises(
    command: Command, program: str, error: str, shown: str, target: str
) -> None:
    command.write("wrong.py", program)
    if "from ." in program and target == "wrong":
        error = "attempted relative import with no known parent package"
    code, _, text = run_target(command, f"{target}:pipeline")
    assert code == 2
    assert error in text
    assert shown in text
    files = re.findall(r'File "(.*?)"', text)
    assert files == [str(command.folder / "wrong.py")]


def test_a_function_that_ends_the_event_loop_is_a_wrong_target(command: Command) -> None:
    program = """
async def make():
    asyncio.get_running_loop().call_soon(sys.exit, 0)
    await asyncio.Event().wait()
pipeline = make
"""
    ran = command.run("1", program=program)
    assert (ran.code, ran.out) == (2, "")
    assert "error: the program ends the event loop: SystemExit: 0\n" in ran.err


# The program's own items


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ("items = 3", "is a value of type int; make it an iterable or async iterable"),
        ("items = 'text'", "must be many items, but the str 'text' is one; give [text], or"),
        ("items = {1: 'one'}", "must be many items, but the dict {1: 'one'} is one"),
        ("def items(): return None", "is None; make it"),
        ("def items(path): ...", "takes arguments, (path); make it"),
        ("def items(): raise LookupError('none')", "raised: LookupError: none"),
        (
            "def items(): exit('none')",
            "ends the program; have it return, or raise another error: SystemExit: none",
        ),
    ],
)
def test_items_that_are_none(command: Command, items: str, error: str) -> None:
    ran = command.run(program=items)
    assert ran.code == 2
    assert f"'items' of program {error}" in ran.err
