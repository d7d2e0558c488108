"""Check report: print what was found of an image, files that lack the same together."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.checks import Checked
    from cephtasks.findings import Finding


def checked(found: "Checked", as_json: bool) -> None:
    """A row for each tool, and for what files lack."""
    if as_json:
        console.result_json([finding.document() for finding in found.findings])
        return
    rows = list(_rows(found.findings))
    if rows:
        console.table(("tool", "result", "detail"), rows)
    if found.objects or found.scripts:
        scripts = console.count(found.scripts, "script")
        console.say(f"looked at {found.objects} programs and libraries and {scripts} of {found.name}")


def _rows(findings: "Sequence[Finding]") -> Iterator[tuple[str, str, str]]:
    files: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        if finding.exit_code is None:
            files.setdefault((str(finding.problem), finding.told), []).append(finding.tool)
        else:
            yield finding.tool, finding.problem or "ok", finding.told
    for (problem, told), (first, *more) in files.items():
        yield f"{first} and {len(more)} more" if more else first, problem, told
