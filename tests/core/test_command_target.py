"""TARGET: the pipelines that are found, and the errors if there is none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antflow import Pipeline
from antflow._cli.target import Target, TargetError, load

PROGRAM = """
import asyncio
from antflow import Pipeline, Stage

async def work(item):
    return item

pipeline = Pipeline([Stage("Work", 1, [work])], name="ready")
builder = Pipeline.create(name="built").add("Work", work)
unfinished = Pipeline.create()
number = 3

class Holder:
    inner = pipeline

def make():
    return builder

async def make_later():
    return pipeline

class Maker:
    def __call__(self):
        return pipeline

maker = Maker()

def nothing():
    pass

def raising():
    raise LookupError("no account")

def leaving():
    raise SystemExit("no key")

async def cancelled():
    raise asyncio.CancelledError("nothing to do")

async def started():
    running = Pipeline([Stage("Work", 1, [work])])
    await running.start()
    return running

async def make_streamed():
    streamed = Pipeline([Stage("Work", 1, [work])], name="streamed")
    async for _ in streamed.stream([1, 2]):
        break
    return streamed

async def waiting():
    await asyncio.Event().wait()

def interrupted():
    raise KeyboardInterrupt
"""


@pytest.fixture(autouse=True)
def imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write(tmp_path, "jobs_of_a_test.py", PROGRAM)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(text: str) -> TargetError:
    with pytest.raises(TargetError) as refused:
        load(text)
    return refused.value


async def refusal_of(target: Target) -> TargetError:
    with pytest.raises(TargetError) as refused:
        await target.pipeline()
    return refused.value


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pipeline", "ready"),
        ("Holder.inner", "ready"),
        ("builder", "built"),
        ("make", "built"),
        ("make_later", "ready"),
        ("maker", "ready"),
        ("make_streamed", "streamed"),
    ],
)
async def test_a_pipeline_a_builder_or_a_function(program: Path, name: str, found: str) -> None:
    for target in load(f"{program}:{name}"), load(f"{program.stem}:{name}"):
        pipeline = await target.pipeline()
        assert isinstance(pipeline, Pipeline)
        assert pipeline.name == found


def test_a_module_in_a_package_of_the_present_folder(tmp_path: Path) -> None:
    write(tmp_path, "pack_of_a_test/__init__.py", "")
    write(tmp_path, "pack_of_a_test/inner.py", PROGRAM)
    assert load("pack_of_a_test.inner:pipeline").module.__name__ == "pack_of_a_test.inner"


def test_a_file_finds_its_neighbours_and_itself(tmp_path: Path) -> None:
    write(tmp_path, "deep/neighbour_of_a_test.py", "pipeline = 1")
    text = "import sys\nfrom neighbour_of_a_test import pipeline\nme = sys.modules[__name__]\n"
    path = write(tmp_path, "deep/me_in_a_test.py", text)
    target = load(f"{path}:pipeline")
    assert target.found == 1
    assert target.module is target.module.me


@pytest.mark.parametrize("name", ["json.py", "pytest.py", "my-jobs.py"])
async def test_the_name_of_a_file_hides_no_module(tmp_path: Path, name: str) -> None:
    before = sys.modules.get(name.removesuffix(".py"))
    target = load(f"{write(tmp_path, name, PROGRAM)}:pipeline")
    assert (await target.pipeline()).name == "ready"
    assert sys.modules.get(name.removesuffix(".py")) is before


# What is refused


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("jobs", "such as jobs:pipeline"),
        ("jobs.py:", "such as jobs.py:pipeline"),
        (":pipeline", "such as pipeline:pipeline"),
        ("", "such as jobs.py:pipeline"),
    ],
)
def test_a_target_that_is_half_of_one(text: str, example: str) -> None:
    error = refusal(text)
    assert f"TARGET is {text!r}; write module:pipeline or file.py:pipeline" in str(error)
    assert example in str(error)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert f"none.py is not there, seen from {tmp_path};" in str(refusal("none.py:pipeline"))
    (tmp_path / "folder.py").mkdir()
    assert "folder.py is not a file; write" in str(refusal("folder.py:pipeline"))
    write(tmp_path, "notes.txt", "")
    assert "./notes.txt is not a Python file; write" in str(refusal("./notes.txt:pipeline"))


@pytest.mark.parametrize("module", [".", "..a", ".a.b"])
def test_a_module_is_not_named_from_here(module: str) -> None:
    error = str(refusal(f"{module}:pipeline"))
    assert error == f"{module!r} is not a module; write module:pipeline or file.py:pipeline"


def test_a_module_that_is_not_there() -> None:
    assert "There is no module 'no_jobs', here or installed;" in str(refusal("no_jobs:pipeline"))
    assert "There is no module 'json.no_jobs'" in str(refusal("json.no_jobs:pipeline"))


@pytest.mark.parametrize("form", ["{name}.py", "{name}"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "import no_such_thing",
            "; install what has 'no_such_thing': ModuleNotFoundError: No module named 'no_such_thi",
        ),
        ("class E(BaseException): ...\nraise E('in C')", "be imported: E: in C"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", 'under if __name__ == "__main__": SystemExit: 3'),
        (
            "import asyncio\nasync def f(): raise asyncio.CancelledError(1)\nasyncio.run(f())",
            "be imported: CancelledError: 1",
        ),
        ("x = (", "SyntaxError: '(' was never closed"),
    ],
)
def test_a_program_that_raises(tmp_path: Path, form: str, text: str, reason: str) -> None:
    path = write(tmp_path, "bad_in_a_test.py", text)
    error = refusal(f"{form.format(name=path.stem)}:pipeline")
    assert " cannot be imported" in str(error)
    assert reason in str(error)
    assert "_cli" not in error.traceback
    assert "importlib" not in error.traceback
    assert "bad_in_a_test.py" in error.traceback


def test_a_file_of_a_package_is_named_by_its_module(tmp_path: Path) -> None:
    path = write(tmp_path, "bad_in_a_test.py", "from . import other")
    assert "name its module: package.module:name: ImportError: " in str(refusal(f"{path}:pipeline"))


def test_the_example_is_one_that_can_be_followed() -> None:
    assert str(refusal(".")).endswith("such as jobs.py:pipeline")
    assert str(refusal("jobs")).endswith("such as jobs:pipeline")


def test_a_name_that_is_not_there(program: Path, tmp_path: Path) -> None:
    error = str(refusal(f"{program}:pipelines"))
    assert f"{program} has no 'pipelines'; its pipelines are: pipeline, builder, unf" in error
    other = write(tmp_path, "other_in_a_test.py", "def make_pipeline(): ...")
    assert "did you mean 'make_pipeline'?" in str(refusal(f"{other}:makepipeline"))
    assert "name a Pipeline, a builder, or a" in str(refusal(f"{other}:zzz"))
    assert "has no 'make_pipeline.x'" in str(refusal(f"{other}:make_pipeline.x"))


def test_a_pipeline_within_a_function_is_not_its_class(tmp_path: Path) -> None:
    text = "from antflow import Pipeline\n\ndef main():\n    pipeline = Pipeline([])\n"
    error = str(refusal(f"{write(tmp_path, 'inner_in_a_test.py', text)}:pipeline"))
    assert "did you mean" not in error
    assert error.endswith("has to stand at the top level of the program, in no function")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("number", "is of type int; name a Pipeline, a builder, or a function without arguments"),
        ("work", "takes arguments, (item); name a Pipeline"),
        ("nothing", "returned None; name a Pipeline"),
        ("raising", "raised: LookupError: no account"),
        ("leaving", "ends the program; have it return, or raise another error: SystemExit: no key"),
        ("cancelled", "raised: CancelledError: nothing to do"),
        ("started", "is running already; leave its start to antflow run"),
        ("unfinished", "cannot be built: PipelineError: Pipeline 'pipeline' must have"),
    ],
)
async def test_objects_that_are_no_pipeline(program: Path, name: str, reason: str) -> None:
    error = await refusal_of(load(f"{program}:{name}"))
    assert f"{program}:{name} {reason}" in str(error)
    assert (f"in {name}" in error.traceback) is (name in {"raising", "leaving", "cancelled"})


async def test_a_function_can_be_cancelled_or_interrupted(program: Path) -> None:
    making = asyncio.create_task(load(f"{program}:waiting").pipeline())
    await asyncio.sleep(0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    with pytest.raises(KeyboardInterrupt):
        await load(f"{program}:interrupted").pipeline()


def test_an_import_may_be_interrupted(tmp_path: Path) -> None:
    path = write(tmp_path, "slow_in_a_test.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(f"{path}:pipeline")


# The program's own items


async def items_of(target: Target) -> list[Any]:
    items = await target.items()
    if hasattr(items, "__aiter__"):
        return [item async for item in items]
    return list(items)


@pytest.mark.parametrize(
    "text",
    [
        "items = [1, 2]",
        "items = {1: 'one', 2: 'two'}.keys()",
        "def items(): return range(1, 3)",
        "def items():\n    yield 1\n    yield 2",
        "async def items():\n    yield 1\n    yield 2",
        "async def items(): return [1, 2]",
    ],
)
async def test_items_of_every_kind(tmp_path: Path, text: str) -> None:
    target = load(f"{write(tmp_path, 'items_in_a_test.py', PROGRAM + text)}:pipeline")
    assert target.has_items
    assert await items_of(target) == [1, 2]


def test_a_program_may_have_no_items(program: Path) -> None:
    assert not load(f"{program}:pipeline").has_items


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("items = 3", "is of type int; make it an iterable or async iterable"),
        ("items = 'text'", "must be many items, but the str 'text' is one; give [text], or"),
        ("items = {1: 'one'}", "must be many items, but the dict {1: 'one'} is one"),
        ("def items(): return None", "is None; make it"),
        ("def items(path): ...", "takes arguments, (path); make it"),
        ("def items(): raise LookupError('none')", "raised: LookupError: none"),
        (
            "def items(): exit('none')",
            "ends the program; have it return, or raise another error: S",
        ),
    ],
)
async def test_items_that_are_none(tmp_path: Path, text: str, reason: str) -> None:
    target = load(f"{write(tmp_path, 'items_in_a_test.py', PROGRAM + text)}:pipeline")
    with pytest.raises(TargetError) as refused:
        await target.items()
    assert f"'items' of items_in_a_test {reason}" in str(refused.value)
