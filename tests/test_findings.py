"""Findings, from the words of real loaders: glibc 2.36, musl 1.2.3, runc 1.1."""

import pytest

from cephtasks.findings import Ending, Fault, Problem, diagnose, not_found

MISSING, UNDEFINED = Problem.MISSING_LIBRARY, Problem.UNDEFINED_SYMBOL
WRONG = Problem.WRONG_ARCHITECTURE
GONE = "cannot open shared object file: No such file or directory"
LOADING = "error while loading shared libraries"
PYTHON = "/usr/lib/python3/dist-packages/rados.cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    ("code", "said", "problem", "fault"),
    [
        (127, f"rados: {LOADING}: librados.so.2: {GONE}", MISSING, Fault("librados.so.2")),
        (127, f"rados: {LOADING}: /opt/librados.so.2: file too short", MISSING, Fault("/opt/librados.so.2")),
        (127, f"rados: {LOADING}: /opt/libx.so: invalid ELF header", MISSING, Fault("/opt/libx.so")),
        (127, f"rados: {LOADING}: /opt/libx.so: cannot read file data", MISSING, Fault("/opt/libx.so")),
        (127, f"rados: {LOADING}: librados.so.2: wrong ELF class: ELFCLASS32", WRONG, Fault("librados.so.2")),
        (
            127,
            "rados: symbol lookup error: /usr/lib/librados.so.2: undefined symbol: _ZN4ceph3newEv",
            UNDEFINED,
            Fault(symbol="_ZN4ceph3newEv", wanted_by="/usr/lib/librados.so.2"),
        ),
        (
            127,
            "rados: symbol lookup error: rados: undefined symbol: striper_new, version V_2",
            UNDEFINED,
            Fault(symbol="striper_new", version="V_2", wanted_by="rados"),
        ),
        (
            127,
            "rados: relocation error: rados: symbol striper_new version V_2 not defined in file libst.so.1"
            " with link time reference",
            UNDEFINED,
            Fault("libst.so.1", "striper_new", "V_2", "rados"),
        ),
        (
            1,
            "rados: /lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by rados)",
            UNDEFINED,
            Fault("/lib/libstdc++.so.6", version="GLIBCXX_3.4.32", wanted_by="rados"),
        ),
        (
            127,
            "Error relocating /bin/rados: striper_new: symbol not found",
            UNDEFINED,
            Fault(symbol="striper_new", wanted_by="/bin/rados"),
        ),
        (
            127,
            "Error loading shared library librados.so.2: No such file or directory (needed by /bin/rados)",
            MISSING,
            Fault("librados.so.2", wanted_by="/bin/rados"),
        ),
        (
            127,
            "Error loading shared library librados.so.2: Exec format error (needed by /bin/rados)",
            WRONG,
            Fault("librados.so.2", wanted_by="/bin/rados"),
        ),
        (1, f"ImportError: librados.so.2: {GONE}", MISSING, Fault("librados.so.2")),
        (
            1,
            f"ImportError: {PYTHON}: undefined symbol: rados_new",
            UNDEFINED,
            Fault(symbol="rados_new", wanted_by=PYTHON),
        ),
        (1, f"OSError: libcephfs.so.2: {GONE}", MISSING, Fault("libcephfs.so.2")),
        (1, "exec /usr/bin/rados: exec format error", WRONG, None),
        (126, "sh: line 1: /usr/bin/rados: cannot execute binary file: Exec format error", WRONG, None),
        (1, "exec /usr/bin/rados: no such file or directory", Problem.NOT_FOUND, None),
    ],
)
def test_a_loaders_words_decide(code: int, said: str, problem: Problem, fault: Fault | None) -> None:
    """The line that tells is the detail, whatever is said before and after it."""
    output = f"starting\n{said}\nTraceback: see above\n"
    found = diagnose("rados", Ending(code, output.encode(), path="/usr/bin/rados"))
    assert (found.ok, found.exit_code, found.problem, found.detail) == (False, code, problem, said)
    assert found.fault == fault


def test_the_first_trouble_counts() -> None:
    """musl goes on after a missing library, and then lacks its symbols."""
    output = (
        b"Error loading shared library libst.so.1: No such file or directory (needed by rados)\n"
        b"Error relocating rados: striper_new: symbol not found\n"
    )
    assert diagnose("rados", Ending(127, output)).problem == MISSING


def test_a_library_without_versions_is_told() -> None:
    """glibc then ends in an assertion, after a warning that names the library."""
    output = (
        b"rados: /lib/libst.so.1: no version information available (required by rados)\n"
        b"Inconsistency detected by ld.so: dl-lookup.c: 107: check_match: Assertion `...' failed!\n"
    )
    found = diagnose("rados", Ending(127, output))
    assert (found.problem, found.fault) == (UNDEFINED, Fault("/lib/libst.so.1", wanted_by="rados"))


@pytest.mark.parametrize(
    ("code", "output", "problem", "detail"),
    [
        (139, b"", Problem.CRASHED, "killed by SIGSEGV"),
        (
            134,
            b"free(): invalid pointer\n",
            Problem.CRASHED,
            "killed by SIGABRT; it last said: free(): invalid pointer",
        ),
        (1, b"Segmentation fault (core dumped)\n", Problem.CRASHED, "Segmentation fault (core dumped)"),
        (1, b"run.sh: line 3:    12 Aborted    rados\n", Problem.CRASHED, "run.sh: line 3: 12 Aborted rados"),
        (127, b"rados: 3: real-rados: not found\n", Problem.NOT_FOUND, "rados: 3: real-rados: not found"),
        (126, b"/bin/rados is not executable\n", Problem.FAILED, "/bin/rados is not executable"),
        (3, b"", Problem.FAILED, "it exited 3 without a word"),
        (255, b"", Problem.FAILED, "it exited 255 without a word"),
        (
            1,
            b"Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'rados'\n",
            Problem.FAILED,
            "ModuleNotFoundError: No module named 'rados'",
        ),
    ],
)
def test_else_the_exit_code_decides(code: int, output: bytes, problem: Problem, detail: str) -> None:
    """Shells and engines add the signal to 128; the last line tells the most of what else went wrong."""
    found = diagnose("rados", Ending(code, output))
    assert (found.ok, found.problem, found.detail) == (False, problem, detail)


def test_a_tool_that_ends_well_is_well() -> None:
    """Whatever it says; what it says last, its version as a rule, is the detail."""
    output = b"libx.so: no version information available\n\nceph version 16.2.15\n"
    found = diagnose("ceph", Ending(0, output, path="/usr/bin/ceph"))
    assert found.document() == {
        "tool": "ceph",
        "ok": True,
        "exit_code": 0,
        "problem": None,
        "detail": "ceph version 16.2.15",
    }


def test_a_tool_that_is_late_timed_out() -> None:
    """It has no exit code of its own, and gets the one of timeout(1)."""
    found = diagnose("rados", Ending(137, b"connecting\n", timed_out=True))
    assert (found.exit_code, found.problem) == (124, Problem.TIMED_OUT)
    assert found.detail == "it did not end in time, and last said: connecting"


def test_a_tool_that_is_not_there_is_not_found() -> None:
    """It exits as a shell does that does not find a command."""
    assert (not_found("rados").exit_code, not_found("rados").problem) == (127, Problem.NOT_FOUND)


@pytest.mark.parametrize(
    ("output", "detail"),
    [
        (b"\x1b[31mbroken\x1b[0m\r\n", "broken"),
        (b"\xff\xfe\x00 broken", "\ufffd\ufffd broken"),
        (b"x" * 5000, "x" * 1000 + "…"),
    ],
    ids=["coloured", "binary", "long"],
)
def test_the_detail_is_one_readable_line(output: bytes, detail: str) -> None:
    """A terminal can show it, whatever a tool prints."""
    assert diagnose("rados", Ending(1, output)).detail == detail
