"""antflow, run over the lines of a file by a program written for that, which accounts for none."""

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.contenders.no_op_lines import pipeline


def lines_command(source: Path, output: Path) -> list[str]:
    """The command that reads lines of JSON and writes as many."""
    return [sys.executable, "-m", __name__, str(source), str(output)]


async def main(source: str, output: str) -> None:
    with open(source, encoding="utf-8") as lines, open(output, "w", encoding="utf-8") as written:  # noqa: ASYNC230, PTH123
        async with pipeline().stream(map(json.loads, lines)) as results:
            async for result in results:
                record = {"id": result.id, "value": result.value}
                written.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
