/**
 * `ku` without arguments on a terminal: a shell for ku's commands, with history and completion. Each line runs in a process of its own,
 * as if it had been typed after "ku": Ctrl-C ends the command and not the shell.
 */

import { completeLine } from "./complete_live.ts";
import { defaultSocket } from "./client.ts";
import { print } from "./output.ts";
import { readLine } from "./readline.ts";
import type { Commands } from "./spec.ts";
import { isStyled, styled } from "./style.ts";

const HISTORY_LINES = 1000;
const LEAVE = ["exit", "quit", "q"];

/** Until "exit" or Ctrl-D. */
export async function runShell(commands: Commands): Promise<void> {
  // Ctrl-C while a command runs is the command's; while a line is edited it is a key.
  Deno.addSignalListener("SIGINT", () => {});
  print(
    `${
      styled("ku", "bold")
    } at ${defaultSocket()}. Tab completes, "help" lists the commands, "exit" leaves.\n`,
  );
  const history = readHistory();
  const complete = (text: string) => completeText(text, commands);
  const prompt = styled("ku", "bold", isStyled()) + "# ";
  for (;;) {
    const line = await readLine({ prompt, history, historySize: HISTORY_LINES, complete });
    if (line === null) return print("\n");
    const words = wordsOfLine(line);
    if (words.length > 0 && LEAVE.includes(words[0])) return writeHistory(history);
    writeHistory(history);
    if (words.length > 0) await runCommand(words);
  }
}

/** The words of a line without "ku" in front and without a comment. */
export function wordsOfLine(line: string): string[] {
  const words = line.replace(/(^|\s)#.*$/, "").trim().split(/\s+/).filter((word) => word !== "");
  return words[0] === "ku" ? words.slice(1) : words;
}

async function runCommand(words: readonly string[]): Promise<void> {
  const own = Deno.build.standalone ? [] : ["run", "-A", Deno.mainModule];
  const child = new Deno.Command(Deno.execPath(), { args: [...own, ...words], stdin: "inherit" }).spawn();
  await child.status;
}

/** Candidates for the last word of `text`, and that word, as readline wants them. */
export async function completeText(text: string, commands: Commands): Promise<[string[], string]> {
  const words = text.trimStart().split(/\s+/);
  if (words[0] === "ku" && words.length > 1) words.shift();
  const current = words.at(-1) ?? "";
  const found = await completeLine(words, commands) ?? files(current);
  // A blank after the only one, so that the next word can follow.
  const texts = found.map((each) => each.text);
  return [texts.length === 1 && !texts[0].endsWith("/") ? [`${texts[0]} `] : texts, current];
}

/** Files whose path begins with `start`; folders end in a slash. */
function files(start: string): { text: string }[] {
  const folder = start.slice(0, start.lastIndexOf("/") + 1);
  try {
    return [...Deno.readDirSync(folder || ".")]
      .map((entry) => ({ text: `${folder}${entry.name}${entry.isDirectory ? "/" : ""}` }))
      .filter(({ text }) => text.startsWith(start));
  } catch {
    return [];
  }
}

/** $XDG_STATE_HOME/ku/history (the XDG base directories); null where there is no home. */
function historyPath(): string | null {
  const home = Deno.env.get("HOME");
  const state = Deno.env.get("XDG_STATE_HOME") || (home ? `${home}/.local/state` : null);
  return state === null ? null : `${state}/ku/history`;
}

/** Newest first. */
function readHistory(): string[] {
  const path = historyPath();
  try {
    return path === null
      ? []
      : Deno.readTextFileSync(path).split("\n").filter((line) => line !== "").reverse();
  } catch {
    return [];
  }
}

/** A home that cannot be written to only means a history that does not last. */
function writeHistory(history: readonly string[]): void {
  const path = historyPath();
  if (path === null) return;
  try {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
    Deno.writeTextFileSync(path, [...history].reverse().map((line) => `${line}\n`).join(""), { mode: 0o600 });
  } catch {
    return;
  }
}
