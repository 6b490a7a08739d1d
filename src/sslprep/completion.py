"""Shell completion: a script for bash, zsh or fish, made from the table of commands."""

from __future__ import annotations

from sslprep import COMMANDS
from sslprep.cli import GROUPS, load
from sslprep.parameters import parameters_of

_COMMON = "--json --quiet --verbose --help"
_BASH = """_sslprep() {
    local words=""
    case "${COMP_WORDS[*]:1:COMP_CWORD-1} " in
%s
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sslprep sslprep"""


def script(shell: str) -> str:
    """Return the script that makes `shell` complete commands and flags.

    Put `eval "$(sslprep completion bash)"` into `~/.bashrc`, or for fish `sslprep completion fish
    | source` into its `config.fish`.
    """
    words = {
        path: " ".join([*(parameter.flag for parameter in parameters_of(load(path))), _COMMON])
        for path in COMMANDS
    }
    for group in GROUPS:
        words[group] = " ".join(p.split()[1] for p in COMMANDS if p.startswith(f"{group} "))
    first = " ".join([*GROUPS, *(p for p in COMMANDS if " " not in p), "help version completion"])
    if shell == "fish":
        lines = [f"complete -c sslprep -n __fish_use_subcommand -xa '{first}'"]
        for path, flags in words.items():
            seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in path.split())
            lines.append(f"complete -c sslprep -n '{seen}' -a '{flags}'")
        return "\n".join(lines)
    longest_first = sorted(words.items(), key=lambda item: -len(item[0].split()))
    cases = [f'        "{path} "*) words="{flags}" ;;' for path, flags in longest_first]
    text = _BASH % "\n".join([*cases, f'        " ") words="{first}" ;;'])
    if shell == "zsh":
        return f"autoload -U +X bashcompinit && bashcompinit\n{text}"
    return text
