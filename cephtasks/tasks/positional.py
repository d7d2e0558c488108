"""Positional: tell whether a task is typed with its first argument, as in `check [REFERENCE]`.

Invoke knows positional arguments only as ones that must be given, and then takes the next word for it
whatever that is. So the words are looked at once before Invoke's parser gets them.
"""

from collections.abc import Container, Iterable


def is_given(
    words: Iterable[str], own_names: Container[str], task_names: Container[str], valued_flags: Container[str]
) -> bool:
    """Whether a word follows the task that is neither a flag, nor a flag's value, nor another task."""
    within = is_value = False
    for word in words:
        if word == "--":
            return False
        if is_value:
            is_value = False
        elif word in task_names:
            within = word in own_names
        elif within and word.startswith("-"):
            is_value = word in valued_flags
        elif within:
            return True
    return False
