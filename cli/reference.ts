/** docs/commands.md: the reference of all commands, from their descriptions. */

import { argumentRows, formTitle } from "./help_text.ts";
import { type Argument, type Description, type Form, usageOf } from "./spec.ts";

/** The whole file. */
export function commandReference(all: readonly Description[]): string {
  return [
    "# Commands",
    "",
    "Made by `deno task docs` from the descriptions in `cli/`; a test compares. `ku help --man` has the same as a man page.",
    "",
    "Every command has `--help`, and those that talk to the daemon have `--socket PATH` (default `/run/ku/ku.sock`, or `KU_SOCKET`).",
    "",
    ...all.map(({ command, summary }) => `- [\`ku ${command}\`](#ku-${command}): ${summary}`),
    "",
    ...all.flatMap(section),
  ].join("\n").replace(/\n{3,}/g, "\n\n").trimEnd() + "\n";
}

function section(description: Description): string[] {
  const { command, about, summary, forms, examples } = description;
  const paragraphs = about.length > 0 ? about : [`${summary}.`];
  return [
    `## ku ${command}`,
    "",
    ...fenced([usageOf(description)]),
    ...paragraphs.flatMap((text) => [escape(text), ""]),
    ...forms.flatMap((form) => formLines(form, forms.length > 1)),
    ...argumentLines(description.options ?? []),
    "",
    ...(examples.length === 0
      ? []
      : fenced(examples.map(({ line, what }) => what === undefined ? line : `${line}   # ${what}`))),
  ];
}

function formLines(form: Form, several: boolean): string[] {
  if (!several) return form.args.length === 0 ? [] : argumentLines(form.args);
  const help = form.help === undefined ? "" : `: ${escape(form.help)}`;
  return [
    `- ${form.lead.length === 0 ? formTitle(form) : code(formTitle(form))}${help}`,
    ...argumentLines(form.args).map((line) => `  ${line}`),
  ];
}

function argumentLines(args: readonly Argument[]): string[] {
  return args.flatMap(argumentRows).map(([left, right]) => `- ${code(left)}: ${escape(right)}`);
}

function fenced(lines: readonly string[]): string[] {
  return ["```", ...lines, "```", ""];
}

const code = (text: string): string => `\`${text}\``;

/** Markdown's own characters as text. */
function escape(text: string): string {
  return text.replace(/[*_<>`]/g, "\\$&");
}
