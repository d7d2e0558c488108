"""Command: `python -m bench` holds the contests that are named, or all, and prints one table of ratios."""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import again, checking, compiling, contest, first_push, memory, reading, series, uploading
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
    "long-files": memory.of_long_files,
}
# Those that need neither the stage's tree nor its registries.
_APART: Mapping[str, Callable[[Path, int], list[Result]]] = {
    "check": checking.of_tools,
    "check-deep": checking.of_files,
    "compile": compiling.of_rocksdb,
    "upload": uploading.of_ready_blobs,
    "catalog": reading.of_cold_start,
    "catalog-tags": reading.of_ten_thousand,
}
_NAMES = (*_CONTESTS, *_APART)


def main() -> None:
    """Read the arguments, hold the contests, print what came out."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"measured rounds (default: {_ROUNDS})")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("contest", nargs="*", help=f"of {', '.join(_NAMES)} (default: all)")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.contest) - set(_NAMES))
    if unknown or chosen.rounds < 1:
        parser.error(f"there is no contest {', '.join(unknown)}" if unknown else "--rounds is at least 1")
    results = _hold(chosen.contest or _NAMES, chosen.rounds)
    if chosen.json:
        console.result_json({"rounds": chosen.rounds, "results": [dict(one.document()) for one in results]})
    else:
        console.table(contest.COLUMNS, [one.row() for one in results])


def _hold(names: Sequence[str], rounds: int) -> list[Result]:
    staged = [name for name in names if name in _CONTESTS]
    results = []
    with tempfile.TemporaryDirectory(prefix="cephtasks-bench-") as folder:
        for name in names:
            if name in _APART:
                results += _APART[name](Path(folder, name), rounds)
        if staged:
            with stage(Path(folder)) as ready:
                results += [result for name in staged for result in _CONTESTS[name](ready, rounds)]
    return results


if __name__ == "__main__":
    main()
