"""Output: how far a builder is and what is wrong, from lines of ninja, make, gcc, clang, ld and CMake."""

import pytest

from cephtasks.builder.output import Output

_GCC = [
    b"[3/9] Building CXX object src/a.cc.o",
    b"FAILED: src/a.cc.o",
    b"/usr/bin/c++ -c /ceph/src/a.cc",
    b"In file included from /ceph/src/a.cc:1:",
    b"/ceph/src/a.h:7:1: \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kno such thing",
    b"    7 | thing",
    b"      | ^~~~~",
    b"/ceph/src/a.cc:9:3: warning: unused [-Wunused]",
    b"    9 | int i;",
    b"ninja: build stopped: subcommand failed.",
]


def read(*lines: bytes) -> Output:
    """What the lines tell, one a second from the time 100 on."""
    output = Output(began=100)
    for second, line in enumerate(lines):
        output.add(line, 100 + second)
    return output


def test_errors_are_kept_with_what_they_point_at() -> None:
    """A compiler's error and the source line below it, without colours; what surrounds it is left out."""
    output = read(*_GCC)
    assert output.errors == [b"/ceph/src/a.h:7:1: error: no such thing", b"    7 | thing", b"      | ^~~~~"]
    assert (output.failed, output.warnings, output.more_errors) == (1, 1, 0)


def test_an_error_that_many_files_have_is_told_once() -> None:
    """A header's error comes again with every file that includes it."""
    assert read(*_GCC, *_GCC).errors == read(*_GCC).errors


def test_errors_are_bounded() -> None:
    """Twenty lines are kept, the errors beyond that are counted."""
    output = read(*(b"a.cc:%d:1: error: no" % number for number in range(50)))
    assert (len(output.errors), output.more_errors) == (20, 30)
    assert output.errors[0] == b"a.cc:0:1: error: no"


@pytest.mark.parametrize(
    "line",
    [
        b"a.cc:1:2: fatal error: none.h: No such file or directory",
        b"clang: error: linker command failed with exit code 1 (use -v to see invocation)",
        b"/usr/bin/ld: a.o: undefined reference to `b()'",
        b"/usr/bin/ld: cannot find -lnone: No such file or directory",
        b"CMake Error at CMakeLists.txt:3 (no_such_command):",
        b"g++: fatal error: Killed signal terminated program cc1plus",
    ],
)
def test_what_is_an_error(line: bytes) -> None:
    """Compilers, linkers and CMake each have their words."""
    assert read(line).errors == [line]


@pytest.mark.parametrize(
    "line", [b"-- Performing Test HAVE_ERROR: Success", b"[1/2] Building error: x.o", b"built without error"]
)
def test_what_is_no_error(line: bytes) -> None:
    """The word alone makes none."""
    assert read(line).errors == []


def test_the_status_tells_step_time_and_failures() -> None:
    """Two of eight steps in a second after four seconds of configuring leave three seconds more."""
    lines = [
        b"-- Configuring",
        b"-- Detecting",
        b"-- Done",
        b"FAILED: x",
        b"[1/8] Building a",
        b"[2/8] Building b",
    ]
    assert read(*lines).status(105) == "[2/8], 0:05, about 0:03 left, 1 failed: Building b"


def test_the_status_before_the_first_step_and_at_the_last() -> None:
    """Nothing is guessed where nothing is known, nor where nothing is left."""
    assert read(b"-- Configuring").status(161) == "1:01: starting"
    assert read(b"[2/2] Linking a").status(100 + 3600) == "[2/2], 1:00:00: Linking a"


def test_makes_steps_are_percents() -> None:
    """make tells no numbers of steps, and a failure once more at each level above it."""
    output = read(
        b"[ 25%] Building CXX object a.cc.o",
        b"make[2]: *** [CMakeFiles/a.dir/build.make:76: a.cc.o] Error 1",
        b"make[1]: *** [CMakeFiles/Makefile2:83: a.dir/all] Error 2",
        b"make: *** [Makefile:9: all] Error 2",
    )
    assert output.status(100).startswith("[25/100]")
    assert output.failed == 1
