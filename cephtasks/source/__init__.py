"""Source: the git checkout to build; work in it is never discarded."""

from cephtasks.source.checkout import Source, describe, labels, last_saved, prepare, without_credentials

__all__ = ["Source", "describe", "labels", "last_saved", "prepare", "without_credentials"]
