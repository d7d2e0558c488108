"""cephtasks: `invoke --list` shows what there is."""

from pathlib import Path

from cephtasks.tasks import namespace

ns = namespace(Path(__file__).parent)
