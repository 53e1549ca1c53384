"""Draws the panels of the dashboard with Grafana's components, into docs/images/grafana.png.

`make grafana-picture` runs this. It needs npm, prometheus and chromium, and takes five minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools import check_site
from tools.check_site import chromium, served
from tools.dashboard_picture.record import record
from tools.workspace import ROOT

HERE = Path(__file__).parent
PICTURE = ROOT / "docs" / "images" / "grafana.png"
ROWS = 32  # of the grid: what every dashboard begins with, up to how many items end
WIDTH = 1400
HEIGHT = ROWS * 38 + 52

PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="panels.css">
<style>* { box-sizing: border-box } body { margin: 0; background: #f4f5f5 }</style>
<div id="root"></div>
<script>window.__grafana_public_path__ = "/node_modules/@grafana/ui/dist/public/"</script>
<script src="panels.js"></script>
"""
ESBUILD = [
    "node_modules/.bin/esbuild",
    "panels.jsx",
    "--bundle",
    "--minify",
    "--outfile=panels.js",
    "--jsx=automatic",
    "--log-level=error",
    # Their other form, of modules, expects another bundler.
    "--alias:@grafana/data=./node_modules/@grafana/data/dist/cjs/index.cjs",
    "--alias:@grafana/ui=./node_modules/@grafana/ui/dist/cjs/index.cjs",
    "--loader:.woff2=dataurl",
    "--loader:.woff=empty",
    "--loader:.ttf=empty",
    '--define:process.env.NODE_ENV="production"',
]
FLAGS = ("--headless", "--hide-scrollbars", "--virtual-time-budget=8000")


def bundle(folder: Path) -> None:
    """Install Grafana's components into a folder, unless they are there, and bundle the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "panels.jsx"):
        shutil.copy(HERE / name, folder)
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    npm = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--legacy-peer-deps"]
    subprocess.run([*npm, "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
    subprocess.run(ESBUILD, cwd=folder, check=True)


def photograph(folder: Path, picture: Path) -> None:
    """Take a picture of the page in a folder, as Chromium shows it."""
    browser = chromium()
    assert browser, "Chromium is not installed"
    with served(folder) as origin, tempfile.TemporaryDirectory() as profile:
        options = [
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={picture}",
            f"{origin}/index.html",
        ]
        command = [browser, *check_site.FLAGS, *FLAGS, *options]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where Grafana's components are installed")
    parser.add_argument("--seconds", type=float, default=240, help="how long the runs take")
    parser.add_argument("--again", action="store_true", help="draw what was recorded before")
    options = parser.parse_args()
    bundle(options.folder)
    answers = options.folder / "answers.json"
    if not options.again:
        print(f"recording {options.seconds:.0f} s of real runs")
        answers.write_text(
            json.dumps({"width": WIDTH} | record(options.seconds, ROWS)), encoding="utf-8"
        )
    photograph(options.folder, PICTURE)


if __name__ == "__main__":
    main()
