/**
 * Descriptions as text for a terminal: `ku <command> --help` and the overview of `ku help`.
 */

import { print } from "./output.ts";
import {
  type Argument,
  argumentText,
  type Description,
  type Form,
  formText,
  lineOf,
  optionsOf,
  usageOf,
} from "./spec.ts";
import { isStyled, styled } from "./style.ts";

const WIDTH = 80;
/** Widest left column; what is wider gets a line of its own. */
const MAX_LEFT = 26;

/** Prints the help of one command. */
export function printHelp(description: Description): void {
  print(helpText(description, isStyled()));
}

/** The help of one command. */
export function helpText(description: Description, style = false): string {
  const title = (text: string): string => styled(text, "bold", style);
  const sections = [
    `${title("usage:")} ${usageText(description)}`,
    ...description.about.map((paragraph) => wrap(paragraph, WIDTH, 0)),
  ];
  const rows = description.forms.flatMap((form) => formRows(form, description.forms.length > 1));
  if (rows.length > 0) sections.push(columns(rows));
  sections.push(`${title("options:")}\n${columns(optionsOf(description).flatMap(argumentRows))}`);
  if (description.examples.length > 0) sections.push(`${title("examples:")}\n${exampleLines(description)}`);
  return sections.join("\n\n") + "\n";
}

/** A shape's arguments; where there are several shapes, below what the shape itself is for. */
function formRows(form: Form, several: boolean): [left: string, right: string][] {
  const rows = form.args.flatMap(argumentRows);
  if (!several) return rows;
  const indented = rows.map(([left, right]): [string, string] => [`  ${left}`, right]);
  return [[formTitle(form), form.help ?? ""], ...indented];
}

/** The fixed words of a shape. */
export function formTitle(form: Form): string {
  return formText({ ...form, args: [] }) || "(nothing)";
}

/** The usage line; one line each where a command has several long shapes. */
function usageText(description: Description): string {
  const line = usageOf(description);
  if (description.forms.length === 1 || line.length + 7 <= WIDTH) return wrap(line, WIDTH, 9, 7);
  return description.forms.map((form) => wrap(lineOf(description, formText(form)), WIDTH, 9, 7)).join(
    "\n       ",
  );
}

/** An argument, and one row for each of its choices that has its own text. */
export function argumentRows(argument: Argument): [left: string, right: string][] {
  const { words = [], details, value, help } = argument;
  if (details === undefined) return [[argumentText(argument), help]];
  const prefix = value?.choices === undefined ? "" : `${words.join("|")} `;
  return [
    ...help === "" ? [] : [[argumentText(argument), help] as [string, string]],
    ...Object.entries(details).map(([choice, text]): [string, string] => [`${prefix}${choice}`, text]),
  ];
}

/** "  left   right", the right side wrapped. */
function columns(rows: readonly [left: string, right: string][]): string {
  const lefts = rows.map(([left]) => left.length).filter((length) => length <= MAX_LEFT);
  const width = Math.max(...lefts, 6);
  return rows.map(([left, right]) => {
    const start = `  ${left.padEnd(width)}  `;
    const indent = width + 4;
    if (left.length > width) return `  ${left}\n${" ".repeat(indent)}${wrap(right, WIDTH, indent, indent)}`;
    return start + wrap(right, WIDTH, indent, indent);
  }).join("\n");
}

function exampleLines({ examples }: Description): string {
  return examples.map(({ line, what }) =>
    what === undefined ? `  ${line}` : `  ${line}\n${" ".repeat(6)}${wrap(what, WIDTH, 6, 6)}`
  ).join("\n");
}

/** Breaks at blanks; lines after the first begin `indent` cells in, the first one stands at cell `at`. */
export function wrap(text: string, width: number, indent: number, at = 0): string {
  const lines: string[] = [];
  let line = "";
  let room = width - at;
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
      room = width - indent;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}

/** `ku help`: every command in a line. */
export function overviewText(all: readonly Description[], style = false): string {
  const widest = Math.max(...all.map(({ command }) => command.length));
  const lines = all.map(({ command, summary }) =>
    `  ku ${styled(command.padEnd(widest), "bold", style)}  ${summary}`
  );
  return [
    "ku is a kube-proxy data plane in user space: virtual IPs, pods, sessions.",
    "",
    `${styled("usage:", "bold", style)} ku <command> [...] [--socket PATH]`,
    "",
    ...lines,
    "",
    `"ku <command> --help" explains a command; "ku" alone on a terminal is a shell.`,
    "The daemon's socket is /run/ku/ku.sock, KU_SOCKET or --socket.",
  ].join("\n") + "\n";
}
