"""Command: `python -m bench` holds the contests that are named, or all, and prints one table of ratios."""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import again, contest, first_push, memory, series
from bench.contest import Result
from bench.stage import Stage, stage
from cephtasks import console

_ROUNDS = 5

_CONTESTS: Mapping[str, Callable[[Stage, int], list[Result]]] = {
    "first-push": first_push.against_old_flow,
    "first-push-skopeo": first_push.against_skopeo,
    "first-push-crane": first_push.against_crane,
    "one-edit": again.one_edit,
    "nothing-changed": again.nothing,
    "series-of-one": series.of_one,
    "series-of-eight": series.of_eight,
    "memory": memory.of_first_push,
    "large-tree": memory.of_large_tree,
}


def main() -> None:
    """Read the arguments, hold the contests, print what came out."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"measured rounds (default: {_ROUNDS})")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("contest", nargs="*", help=f"of {', '.join(_CONTESTS)} (default: all)")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.contest) - set(_CONTESTS))
    if unknown or chosen.rounds < 1:
        parser.error(f"there is no contest {', '.join(unknown)}" if unknown else "--rounds is at least 1")
    results = _hold(chosen.contest or list(_CONTESTS), chosen.rounds)
    if chosen.json:
        console.result_json({"rounds": chosen.rounds, "results": [dict(one.document()) for one in results]})
    else:
        console.table(contest.COLUMNS, [one.row() for one in results])


def _hold(names: list[str], rounds: int) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="cephtasks-bench-") as folder, stage(Path(folder)) as ready:
        return [result for name in names for result in _CONTESTS[name](ready, rounds)]


if __name__ == "__main__":
    main()
