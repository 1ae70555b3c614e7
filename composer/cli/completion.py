"""`composer completion`: the script that makes a shell ask `composer complete` on TAB.

`composer complete` reads `COMP_LINE` and `COMP_POINT` and prints whole words. No space follows a
word that ends in `=`, `.` or `/`: there is more to come.
"""

import argparse

BASH = r"""
_composer() {
    local line=${COMP_LINE:0:COMP_POINT} offer
    local word=${line##*[[:space:]]}
    # Readline replaces only what stands after the last word break, `=` for one.
    local typed=${word%"${word##*[$COMP_WORDBREAKS]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r offer _; do
        [[ $offer == *[=./] ]] && compopt -o nospace 2>/dev/null
        offer=${offer#"$typed"}
        [[ $word == [\'\"]* ]] || { printf -v offer %q "$offer"; offer=${offer//\\,/,}; }
        COMPREPLY+=("$offer")
    done < <(COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT "${1/#\~/$HOME}" complete 2>/dev/null)
}
complete -F _composer composer
"""

ZSH = r"""
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_composer() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" offer word
    local -a whole whole_shown begun begun_shown
    for offer in "${(@f)$(COMP_LINE=$line COMP_POINT=$#line ${~words[1]} complete 2>/dev/null)}"; do
        word=${offer%%$'\t'*}
        [[ $offer == *$'\t'* ]] && offer="$word  -- ${offer#*$'\t'}"
        if [[ $word == *[=./] ]]; then
            begun+=("$word") begun_shown+=("$offer")
        elif [[ -n $word ]]; then
            whole+=("$word") whole_shown+=("$offer")
        fi
    done
    (( $#begun )) && compadd -l -S '' -d begun_shown -a begun
    (( $#whole )) && compadd -l -d whole_shown -a whole
}
compdef _composer composer
"""

FISH = r"""
function __composer_offers
    set -lx COMP_LINE (commandline --cut-at-cursor --current-process)
    set -lx COMP_POINT (string length -- "$COMP_LINE")
    set -l program (string replace -r '^~' $HOME -- (commandline -opc)[1])
    $program complete 2>/dev/null
end
complete --command composer --no-files --arguments '(__composer_offers)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def run(args: argparse.Namespace) -> int:
    """Prints the script of a shell."""
    print(SCRIPTS[args.shell].strip())
    return 0
