"""Command: `python -m bench.scale` draws docs/scale.svg, and prints the table of docs/scale.md."""

import argparse
import tempfile
from pathlib import Path

from bench.scale import drawing
from bench.scale.measuring import Measured, measure
from bench.stage import stage
from cephtasks import console

_DOCS = Path(__file__).parents[2] / "docs"
MEASURED = _DOCS / "scale.json"


def main() -> None:
    """Read the arguments, measure where that is asked for, and draw."""
    parser = argparse.ArgumentParser(prog="script/bench scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default: 5)")
    parser.add_argument("--measure", action="store_true", help="measure anew, and write docs/scale.json")
    chosen = parser.parse_args()
    if chosen.measure:
        with tempfile.TemporaryDirectory(prefix="cephtasks-bench-") as folder, stage(Path(folder)) as ready:
            measure(ready, chosen.rounds).write(MEASURED)
    measured = Measured.read(MEASURED)
    drawing.plot(measured, _DOCS / "scale.svg")
    console.result(drawing.table(measured))
    console.say(drawing.comparison(measured))


if __name__ == "__main__":
    main()
