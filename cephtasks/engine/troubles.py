"""Troubles: tell in one line what Docker's SDK raises."""

from collections.abc import Iterator

import docker.errors
import urllib3

# Streams let errors of urllib3 and of the SDK's JSON reader through as they are.
FAILURES = (
    docker.errors.DockerException,
    docker.errors.StreamParseError,
    urllib3.exceptions.HTTPError,
    OSError,
)


def one_line(error: BaseException) -> str:
    """Why an engine that was there did not do what it was asked for."""
    lost = not any(isinstance(cause, docker.errors.DockerException) for cause in causes(error))
    return f"the engine does not answer any more ({reason(error)})" if lost else reason(error)


def reason(error: BaseException) -> str:
    """What went wrong, in the words of whoever knew best: the engine, the operating system, the SDK."""
    chain = list(causes(error))
    system = [cause for cause in chain if isinstance(cause, OSError)]
    told = [getattr(cause, "explanation", None) for cause in chain]
    told += [cause.strerror for cause in system if cause.errno]
    told += ["no answer in time" for cause in system if isinstance(cause, TimeoutError)]
    told += [str(cause) for cause in reversed(chain)]
    return " ".join(str(next(filter(None, told), type(error).__name__)).split())


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
