"""Shell completion: what `sslprep completion SHELL` prints makes the shell ask at each TAB.

Put `eval "$(sslprep completion bash)"` into `~/.bashrc` (zsh: `~/.zshrc`), or for fish `sslprep
completion fish | source` into its `config.fish`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sslprep import COMMANDS
from sslprep.cli import load, named_by
from sslprep.errors import ArgumentError
from sslprep.parameters import parameters_of

_BASH = "complete -o default -C 'sslprep completion words' sslprep"
_SCRIPTS = {
    "bash": _BASH,
    "zsh": f"autoload -U +X bashcompinit && bashcompinit\n{_BASH}",
    "fish": "complete -c sslprep -a '(COMP_LINE=(commandline -cp) sslprep completion words)'",
}
_WORDS = ("help", "version", *(f"completion {shell}" for shell in _SCRIPTS))


def completion(tokens: Sequence[str]) -> str:
    """Return the script for a shell, or the words for the line that the shell is at."""
    if tokens[:1] == ["words"]:
        return "\n".join(words(os.environ.get("COMP_LINE", "")))
    if len(tokens) != 1 or tokens[0] not in _SCRIPTS:
        known = 'bash, zsh or fish, as in eval "$(sslprep completion bash)"'
        raise ArgumentError("completion needs a shell", expected=known)
    return _SCRIPTS[tokens[0]]


def words(line: str) -> list[str]:
    """Return what the last word of a command line may become."""
    before = line.split()[1:]
    begun = before.pop() if before and not line.endswith(" ") else ""
    if command := named_by(before):
        found = {parameter.flag for parameter in parameters_of(load(command))}
        found |= {"--json", "--quiet", "--verbose", "--help"}
    else:
        start = " ".join([*before, ""])
        paths = (path for path in (*COMMANDS, *_WORDS) if path.startswith(start))
        found = {path.removeprefix(start).split()[0] for path in paths}
    return sorted(word for word in found if word.startswith(begun))
