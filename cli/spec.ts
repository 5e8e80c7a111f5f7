/**
 * What a command knows about itself. From these descriptions come the usage lines, `ku help`, the man page, docs/commands.md,
 * the completion of shells, "did you mean", and the order in which a command's words are read.
 *
 * Rule: a word, an option or a value is described here once; nothing else of ku repeats it in prose.
 */

/** What a value names, for completion: what the daemon or the node can list. */
export type Completes = "vip" | "pod" | "port" | "interface" | "file" | "command";

export interface Value {
  /** As it stands in the usage line: "<n>", "FILE", "tcp|udp|sctp". */
  name: string;
  /** Words it is one of. */
  choices?: readonly string[];
  completes?: Completes;
  /** The word says something without it, too; a number then. */
  optional?: boolean;
}

/** One thing that may follow: a word, a word with its value, a value by position, or an option with dashes. */
export interface Argument {
  /** The word, or words that exclude each other ("nat4", "nat6"). Absent: a value by position. */
  words?: readonly string[];
  value?: Value;
  required?: boolean;
  /** May come several times. */
  repeated?: boolean;
  /** Sentence for the help; one for each choice where `details` has them. */
  help: string;
  /** What each choice of the value means. */
  details?: Readonly<Record<string, string>>;
}

/** One shape of a command: fixed words first ("node counters"; a list is a choice), then arguments in any order. */
export interface Form {
  lead: readonly (string | readonly string[])[];
  args: readonly Argument[];
  help?: string;
}

export interface Example {
  line: string;
  /** What it does, where the line does not say so itself. */
  what?: string;
}

export interface Description {
  command: string;
  /** One line for the overview, without a period. */
  summary: string;
  /** Paragraphs. */
  about: readonly string[];
  forms: readonly Form[];
  /** Options with dashes, which may stand anywhere. `--help` and `--socket` are everybody's and not listed. */
  options?: readonly Argument[];
  /** True: the usage line has the options before the words. */
  optionsFirst?: boolean;
  /** True: does not talk to a daemon, and has no `--socket`. */
  local?: boolean;
  examples: readonly Example[];
}

/** A command: its description, and how it runs. `commands` is the table of all. */
export interface CommandModule {
  description: Description;
  /** The exit code, 0 when it gives none. */
  run(args: string[], commands: Commands): Promise<number | void>;
}

/** Every command in the order of the overview. Modules are loaded when asked for. */
export type Commands = ReadonlyMap<string, () => Promise<CommandModule>>;

/** Every description, in the order of the overview. */
export async function descriptionsOf(commands: Commands): Promise<Description[]> {
  const modules = await Promise.all([...commands.values()].map((load) => load()));
  return modules.map(({ description }) => description);
}

/** Options that every command understands. */
export function optionsOf({ options, local }: Description): Argument[] {
  return [...options ?? [], ...local ? [] : [SOCKET], HELP];
}

const SOCKET: Argument = {
  words: ["--socket"],
  value: { name: "PATH", completes: "file" },
  help: "The daemon's socket (default /run/ku/ku.sock, or KU_SOCKET).",
};

const HELP: Argument = { words: ["--help"], help: "Print this." };

/** "port <n>", "nat44|nat66", "<prefix>", "<address>...": an argument as the usage line has it. */
export function argumentText({ words, value, repeated }: Argument): string {
  const parts = [words?.join("|"), value?.optional ? `[${value.name}]` : value?.name];
  return parts.filter((part) => part !== undefined).join(" ") +
    (repeated && words === undefined ? "..." : "");
}

/** "ku vip <prefix> [port <n>] ...": all shapes in one line. */
export function usageOf(description: Description): string {
  const shapes = description.forms.map(formText);
  const named = shapes.filter((shape) => shape !== "");
  const shape = named.length === shapes.length && named.length === 1
    ? named[0]
    : named.length < shapes.length
    ? `[${named.join(" | ")}]`
    : named.join(" | ");
  return lineOf(description, shape === "[]" ? "" : shape);
}

/** "ku show vip [verbose] [--json]": one of the shapes with the options. */
export function lineOf({ command, options = [], optionsFirst }: Description, shape: string): string {
  const own = options.map(bracketed);
  return ["ku", command, ...optionsFirst ? [...own, shape] : [shape, ...own]].filter((part) => part !== "")
    .join(" ");
}

/** One shape without the command. */
export function formText({ lead, args }: Form): string {
  const words = lead.map((word) => typeof word === "string" ? word : word.join("|"));
  return [...words, ...args.map(bracketed)].join(" ");
}

function bracketed(argument: Argument): string {
  const text = argumentText(argument);
  if (argument.required) {
    return argument.repeated && argument.words !== undefined ? `${text} [${text}]...` : text;
  }
  return `[${text}]${argument.repeated && argument.words !== undefined ? "..." : ""}`;
}

/** Every word of the command, options apart: for suggestions. */
export function wordsOf({ forms }: Description): string[] {
  const words = forms.flatMap((
    { lead, args },
  ) => [...lead.flat(), ...args.flatMap((one) => one.words ?? [])]);
  return [...new Set(words)];
}
