"""Console: what goes where, on a terminal and in a pipe."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cephtasks import console

ESCAPE = "\x1b"
ROOT = Path(__file__).parent.parent
LONG = "ceph ceph-fuse rados rbd ceph-mon ceph-osd ceph-mds ceph-mgr radosgw"


def in_a_pipe(code: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run code that uses `console`, with stdout and stderr in pipes."""
    return subprocess.run(
        [sys.executable, "-c", f"from cephtasks import console\n{code}"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONUTF8": "1", **environment},
    )


def on_a_terminal(code: str, columns: int = 80, **environment: str) -> str:
    """Run code that uses `console`, with stdout and stderr on one terminal; what the terminal gets."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", f"from cephtasks import console\n{code}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONUTF8": "1", "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    seen = bytearray()
    try:
        while chunk := _read(ours):
            seen += chunk
        assert process.wait(30) == 0
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    return seen.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody holds the other end any more
        return b""


def lines(text: str) -> list[str]:
    """Lines without colour and without the spaces that pad a table."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


def test_results_and_progress_go_apart() -> None:
    """Stdout has the result alone, stderr what was told meanwhile."""
    done = in_a_pipe(
        "console.say('step'); console.warn('odd'); console.stream(b'\\xffraw\\n'); console.result('made')"
    )
    assert done.stdout == b"made\n"
    assert done.stderr == b"step\nwarning: odd\n\xffraw\n"


def test_a_result_is_there_at_once() -> None:
    """A reader of the pipe sees a line as soon as it was printed."""
    code = "from cephtasks import console\nconsole.result('first')\ninput()\nconsole.result('second')"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stdout.read() == "second\n"


def test_brackets_and_digests_are_printed_as_they_are() -> None:
    """Nothing in a text is taken for markup, highlighted, or shortened."""
    text = "[bold]x[/bold] [/] :smile: sha256:" + "a" * 300
    done = in_a_pipe(f"console.say({text!r}); console.result({text!r}); console.table(['[a]'], [[{text!r}]])")
    assert done.stderr.decode() == f"{text}\n"
    assert done.stdout.decode() == f"{text}\n[a]\n{text}\n"


def test_a_pipe_gets_no_escape_codes() -> None:
    """No colour and no moving bars where nobody looks."""
    done = in_a_pipe(
        "console.warn('x'); console.table(['a'], [['b']], 'c')\n"
        "with console.bars() as bars: bars.update('layer', 5, 10, 'Pulling')",
        TERM="xterm-256color",
    )
    assert ESCAPE.encode() not in done.stdout + done.stderr
    assert done.stderr == b"warning: x\n"


def test_a_terminal_gets_colour_unless_it_asks_not_to() -> None:
    """NO_COLOR is obeyed (no-color.org), as is TERM=dumb."""
    code = "console.warn('odd'); console.table(['name'], [['x']])"
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    assert colour.search(on_a_terminal(code))
    assert not colour.search(on_a_terminal(code, NO_COLOR="1"))
    assert ESCAPE not in on_a_terminal(code, TERM="dumb")


def test_a_table_in_a_pipe_has_one_line_a_row() -> None:
    """However long its cells are, a row is never cut or wrapped, and ends without spaces."""
    rows = [["short", "x" * 900, "end"], ["two\nlines", LONG, ""]]
    done = in_a_pipe(f"console.table(['name', 'value', 'from'], {rows!r}, 'two rows')", COLUMNS="40")
    head, first, second, caption = done.stdout.decode().splitlines()
    assert head == f"name       value{' ' * 895}  from"
    assert first == f"short      {'x' * 900}  end"
    assert second == f"two lines  {LONG}"
    assert caption == "two rows"


def test_a_table_in_a_pipe_lines_up_wide_characters() -> None:
    """Columns stand below each other where characters are two cells wide."""
    done = in_a_pipe("console.table(['a', 'b'], [['日本', 'x'], ['ä', 'y']])")
    assert done.stdout.decode().splitlines() == ["a     b", "日本  x", "ä     y"]


def test_a_table_on_a_terminal_wraps_between_words() -> None:
    """At 80 columns a long cell goes on below itself, and no word of it is broken."""
    rows = [["CHECK_TOOLS", LONG, ".env"], ["BASE_IMAGE", "ceph/daemon:tag-build-master", "default"]]
    shown = lines(on_a_terminal(f"console.table(['key', 'value', 'from'], {rows!r})"))
    assert shown == [
        "key          value                                                       from",
        "CHECK_TOOLS  ceph ceph-fuse rados rbd ceph-mon ceph-osd ceph-mds         .env",
        "             ceph-mgr radosgw",
        "BASE_IMAGE   ceph/daemon:tag-build-master                                default",
    ]


def test_a_word_longer_than_the_terminal_is_still_all_there() -> None:
    """A digest that does not fit goes on in the next line; nothing of it is lost."""
    digest = "sha256:" + "0123456789abcdef" * 4
    shown = lines(on_a_terminal(f"console.table(['name', 'digest'], [['ceph', {digest!r}]])", columns=40))
    assert "".join(line[6:] for line in shown[1:]) == digest
    assert max(map(len, shown)) <= 40


def test_what_is_told_on_a_terminal_is_not_wrapped_by_us() -> None:
    """A long line can be copied in one piece: the terminal wraps it."""
    assert f"{LONG} {LONG}\n" in on_a_terminal(f"console.say({LONG + ' ' + LONG!r})", columns=40)


def test_bars_show_names_and_bytes_and_go_away() -> None:
    """On a terminal there is a bar for each blob while the block lasts, and what is said stays whole."""
    shown = on_a_terminal(
        "with console.bars() as bars:\n"
        "    bars.update('a1b2', 5_000_000, 10_000_000, 'Downloading')\n"
        "    console.say('told meanwhile')\n"
        "    bars.update('a1b2', 10_000_000, 10_000_000, 'Done')\n"
        "console.result('end')",
        columns=100,
    )
    assert "a1b2 Downloading" in shown
    assert "5.0/10.0 MB" in shown
    assert "told meanwhile\n" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert shown.endswith("end\n")


def test_json_is_one_document_that_keeps_its_characters() -> None:
    """Stdout parses as JSON; letters stay readable."""
    done = in_a_pipe("console.result_json({'name': 'ä日', 'size': 1}, indent=4)")
    assert json.loads(done.stdout) == {"name": "ä日", "size": 1}
    assert done.stdout.decode() == '{\n    "name": "ä日",\n    "size": 1\n}\n'


def test_a_stdout_that_knows_few_characters_gets_escapes() -> None:
    """In an ASCII or Latin-1 locale nothing fails, and JSON stays JSON."""
    code = "console.result('ä…'); console.table(['a'], [['…']]); console.say('…')"
    done = in_a_pipe(code, PYTHONUTF8="0", PYTHONIOENCODING="latin-1")
    assert done.stdout.decode("latin-1") == "ä\\u2026\na\n\\u2026\n"
    done = in_a_pipe("console.result_json({'ä': '😀'})", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout) == {"ä": "😀"}


def test_file_names_that_are_no_text_can_be_told() -> None:
    """A name with odd bytes is shown with them escaped, in every way of telling."""
    name = os.fsdecode(b"lib\xff.so")
    code = f"name = {name!r}\nconsole.result(name); console.table(['n'], [[name]]); console.say(name)"
    done = in_a_pipe(code)
    assert done.stdout.decode() == "lib\\udcff.so\nn\nlib\\udcff.so\n"
    assert done.stderr.decode() == "lib\\udcff.so\n"
    assert json.loads(in_a_pipe(f"console.result_json([{name!r}])").stdout) == [name]
    assert "lib\\udcff.so" in on_a_terminal(code)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.7, "1.0 kB"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (246_000_000, "246.0 MB"),
        (999_999_999, "1.0 GB"),
        (12_340_000_000_000, "12340.0 GB"),
        (-2500, "-2.5 kB"),
    ],
)
def test_sizes_are_in_powers_of_1000(count: float, text: str) -> None:
    """Three digits and a unit, never `1000.0 kB`."""
    assert console.size(count) == text
