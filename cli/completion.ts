/** `ku completion`: scripts that teach bash, zsh and fish the words of ku. They ask `ku __complete` at every Tab. */

import { optionsOrHelp } from "./client.ts";
import { print } from "./output.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = typeof SHELLS[number];

export const description: Description = {
  command: "completion",
  summary: "print the completion script of a shell",
  about: [
    "Prints a script that completes commands and their words, and the VIPs, pods and ports of the running daemon.",
  ],
  forms: [{ lead: [SHELLS], args: [] }],
  local: true,
  examples: [
    { line: "source <(ku completion bash)", what: "In this bash; in ~/.bashrc for every one." },
    { line: "ku completion bash > /etc/bash_completion.d/ku" },
    { line: "ku completion zsh > /usr/local/share/zsh/site-functions/_ku" },
    { line: "ku completion fish > ~/.config/fish/completions/ku.fish" },
  ],
};

// NB: bash splits words at the characters of COMP_WORDBREAKS, the colons of IPv6 addresses among them; the words are
// taken from the line instead, and what bash believes to be finished of the last one is cut off the answers.
const BASH = `# bash completion for ku
_ku() {
  local line=\${COMP_LINE:0:COMP_POINT} current done_part entry
  local -a words found
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=\${words[\${#words[@]} - 1]}
  mapfile -t found < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  if [[ \${found[0]-} == :file ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  done_part=\${current%"\${current##*[:=]}"}
  for entry in "\${found[@]}"; do
    entry=\${entry%%$'\\t'*}
    COMPREPLY+=("\${entry#"$done_part"}")
  done
}
complete -o nosort -F _ku ku
`;

const ZSH = `#compdef ku
_ku() {
  local -a found candidates
  local entry
  found=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${found[1]} == :file ]]; then
    _files
    return
  fi
  for entry in "\${found[@]}"; do
    [[ -n $entry ]] && candidates+=("\${\${entry%%$'\\t'*}//:/\\\\:}:\${entry#*$'\\t'}")
  done
  _describe -V ku candidates
}
if [[ \${funcstack[1]} == _ku ]]; then
  _ku "$@"
else
  compdef _ku ku
fi
`;

const FISH = `# fish completion for ku
function __ku_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($tokens[1] __complete -- $tokens[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = ":file"
        __fish_complete_path "$current"
    else
        printf '%s\\n' $found
    end
end
complete -c ku -f -k -a '(__ku_complete)'
`;

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

export function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return Promise.resolve();
  const reader = new WordReader(description, options.words);
  const [shell] = reader.form().lead as [Shell];
  reader.end();
  print(SCRIPTS[shell]);
  return Promise.resolve();
}
