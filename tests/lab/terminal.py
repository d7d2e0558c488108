"""Terminal: run `invoke` as a person types it, with settings of the test's own."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cephtasks.settings import environment_for

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Terminal:
    """A folder with a `.env` of its own, where `invoke` is typed; what it prints is caught."""

    folder: Path

    def set(self, **values: object) -> None:
        """Write the `.env`."""
        text = "".join(f'{name}="{value}"\n' for name, value in values.items())
        (self.folder / ".env").write_text(text)

    def command(self, *words: str) -> list[str]:
        """The command that runs `invoke` with the tasks of this checkout."""
        return [sys.executable, "-m", "invoke", f"--search-root={ROOT}", *words]

    def environment(self, **more: str) -> Mapping[str, str]:
        """The test's environment, in which only the `.env` sets anything."""
        return {**environment_for(self.folder / ".env"), **more}

    def invoke(self, line: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Type `invoke`, some words, and further words that may hold white space; `more` is environment."""
        return subprocess.run(
            self.command(*line.split(), *words),
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
