"""Output: tell from a builder's lines how far it is, and what it finds wrong."""

import re
from dataclasses import dataclass, field

_COLOURS = re.compile(rb"\x1b\[[\d;]*[mK]")
_STEP = re.compile(rb"\[(\d+)/(\d+)\] (.+)")  # as ninja writes
_SHARE = re.compile(rb"\[ *(\d+)%\] (.+)")  # as make writes
# 2 is what make itself ends with where one that it started failed.
_FAILED = re.compile(rb"FAILED: |make(\[\d+\])?: \*\*\* \[.*\] Error (?!2$)")
_ERROR = re.compile(
    rb"(^|\s)(fatal )?error: |^CMake Error|undefined reference to |multiple definition of |ld: cannot find "
)
_WARNING = re.compile(rb"(^|\s)warning: |^CMake Warning")
_BELOW = re.compile(rb"\s+\d* \| ")  # the line that a compiler points at
_MOST = 20  # lines that are kept of what is wrong


@dataclass
class Output:
    """What the lines of one run told so far; times are in seconds, of any clock."""

    began: float
    step: int = 0
    steps: int = 0
    doing: str = "starting"
    failed: int = 0
    warnings: int = 0
    errors: list[bytes] = field(default_factory=list)
    more_errors: int = 0
    _first_step: float = 0.0
    _at_error: bool = False

    def add(self, line: bytes, now: float) -> bool:
        """Take the next line; whether it only tells of a step."""
        plain = _COLOURS.sub(b"", line).rstrip()
        if step := _STEP.match(plain) or _SHARE.match(plain):
            *numbers, doing = step.groups()
            self.step, self.steps = map(int, numbers if len(numbers) == 2 else (*numbers, 100))
            self.doing = doing.decode(errors="replace")
            self._first_step = self._first_step or now
            return True
        self.failed += bool(_FAILED.match(plain))
        self.warnings += bool(_WARNING.search(plain))
        self._keep_error(plain)
        return False

    def status(self, now: float) -> str:
        """How far it is, in one line."""
        told = [f"[{self.step}/{self.steps}]"] if self.steps else []
        told += [_clock(now - self.began)]
        if 0 < self.step < self.steps:
            left = (now - self._first_step) * (self.steps - self.step) / self.step
            told += [f"about {_clock(left)} left"]
        told += [f"{self.failed} failed"] if self.failed else []
        return f"{', '.join(told)}: {self.doing}"

    def _keep_error(self, line: bytes) -> None:
        """Each error once, as a header's is told for every file that includes it."""
        is_error = bool(_ERROR.search(line))
        if not is_error and not (self._at_error and _BELOW.match(line)):
            self._at_error = False
            return
        self._at_error = line not in self.errors if is_error else True
        if self._at_error and len(self.errors) < _MOST:
            self.errors.append(line)
        elif self._at_error:
            self.more_errors += is_error


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
