/**
 * The man page ku(8), from the descriptions of the commands, in the mdoc language.
 *
 * References: mdoc(7), mandoc_char(7).
 */

import { argumentRows, formTitle, wrap } from "./help_text.ts";
import { type Argument, type Description, type Form, usageOf } from "./spec.ts";

/** Day of the page's last change; mdoc wants one. */
const DATE = "November 28, 2026";

type Row = [left: string, right: string];

/** The whole page. */
export function manualPage(all: readonly Description[]): string {
  return [
    `.Dd ${DATE}`,
    ".Dt KU 8",
    ".Os",
    ".Sh NAME",
    ".Nm ku",
    ".Nd kube-proxy data plane in user space",
    ".Sh SYNOPSIS",
    ...all.flatMap(synopsis),
    ".Sh DESCRIPTION",
    ...paragraph(
      "ku takes the traffic to virtual IPs (VIPs) from the kernel by AF_XDP, picks a pod for each connection, remembers the " +
        'choice, and gives the pod\'s answers the VIP back as their source. "ku run" is the daemon; the other commands talk to it ' +
        "over a Unix socket. Words come in any order after those that the synopsis puts first.",
    ),
    ".Pp",
    ...paragraph(
      "On a terminal, ku without arguments is a shell for these commands, with history and completion.",
    ),
    ".Pp",
    ...paragraph(
      "Every command has --help, and those that talk to the daemon have --socket PATH for the path of its socket. The commands are:",
    ),
    ...all.flatMap(commandSection),
    ".Sh ENVIRONMENT",
    ".Bl -tag -width Ds",
    ".It Ev KU_SOCKET",
    "Path of the daemon's socket, where",
    ".Fl -socket",
    "does not say.",
    ".It Ev NO_COLOR",
    "No colors on terminals.",
    ".El",
    ".Sh FILES",
    ".Bl -tag -width Ds",
    ".It Pa /run/ku/ku.sock",
    "The daemon's socket.",
    ".El",
    ".Sh EXIT STATUS",
    ".Bl -tag -width Ds",
    ".It 0",
    "Done.",
    ".It 1",
    "Refused: one line on standard error says what, and what to do.",
    "The state is as it was.",
    ".It 2",
    "Wrong usage: one line on standard error has the usage and the reason.",
    ".El",
    ".Sh EXAMPLES",
    ".Bd -literal",
    "ku run --interface eth0 &",
    "ku set interface nat4 in veth1",
    "ku vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    "ku pod 10.96.0.10 10.244.1.2 10.244.1.3",
    "ku show vip verbose",
    ".Ed",
  ].join("\n") + "\n";
}

function synopsis(description: Description): string[] {
  return [".Nm", ...filled(usageOf(description).slice("ku ".length))];
}

function commandSection(description: Description): string[] {
  const { command, about, summary, forms, examples } = description;
  const [first, ...others] = about.length > 0 ? about : [`${summary}.`];
  return [
    `.Ss ku ${command}`,
    ...paragraph(first),
    ...others.flatMap((text) => [".Pp", ...paragraph(text)]),
    ...forms.flatMap((form) => formSection(form, forms.length > 1)),
    ...list(description.options ?? []),
    ...(examples.length === 0 ? [] : [
      ".Pp",
      "Examples:",
      ".Bd -literal -offset indent",
      ...examples.map((example) => line(example.line)),
      ".Ed",
    ]),
  ];
}

/** A shape's arguments; where there are several shapes, each is an item of its own before them. */
function formSection(form: Form, several: boolean): string[] {
  const rows = form.args.flatMap(argumentRows);
  if (!several) return items(rows);
  const title = formTitle(form);
  return items([[title, form.help ?? ""], ...rows.map(([left, right]): Row => [`${title} ${left}`, right])]);
}

function list(args: readonly Argument[]): string[] {
  return items(args.flatMap(argumentRows));
}

function items(rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  return [
    ".Bl -tag -width Ds",
    ...rows.flatMap(([left, right]) => [`.It ${macroArgs(left)}`, ...paragraph(right)]),
    ".El",
  ];
}

/** Sentences begin lines, as mdoc wants it. */
function paragraph(text: string): string[] {
  return text.replace(/([^.][.?!]["')]*) (?=\S)/g, "$1\n").split("\n").flatMap(filled);
}

/** Text in lines of at most 80 bytes, escapes included. */
function filled(text: string): string[] {
  return wrap(escapeText(text), 79, 0).split("\n").map(guarded);
}

/** A line of text: nothing in it is taken for a request or an escape. */
function line(text: string): string {
  return guarded(escapeText(text));
}

function guarded(escaped: string): string {
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

function escapeText(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha").replaceAll("`", "\\(ga");
}

/** Text as the arguments of a macro: words that are macros' names or punctuation stay text. */
function macroArgs(text: string): string {
  return text.split(" ").map((word) => {
    const escaped = escapeText(word);
    return /^[A-Z%][A-Za-z]{1,2}$|^[|.,:;()[\]?!]$/.test(word) ? `\\&${escaped}` : escaped;
  }).join(" ");
}
