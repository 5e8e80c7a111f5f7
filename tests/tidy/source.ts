/**
 * The repository's own text as data: files, the code in them without comments and strings, and what they import.
 *
 * Rule: no parser. The sources are formatted by `deno fmt`, so that regular expressions see enough; the scanner
 * below only has to know where comments, strings, templates and regular expressions begin and end.
 */

export interface SourceFile {
  /** Relative to the repository's top folder. */
  path: string;
  text: string;
}

/** Folders without sources of ours. */
const SKIPPED = new Set([".git", "dist", "node_modules"]);
const TEXT_FILE = /(\.(ts|c|h|json|jsonc|ya?ml|md|lock|sh)|^LICENSE|^NOTICE|^\.gitignore|^\.ci\/run)$/;

/** Every text file below `root`, sorted by path. */
export function textFiles(root: string, folder = ""): SourceFile[] {
  const files: SourceFile[] = [];
  for (const entry of Deno.readDirSync(`${root}/${folder}`)) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory) {
      if (!SKIPPED.has(entry.name)) files.push(...textFiles(root, path));
    } else if (entry.isFile && TEXT_FILE.test(path)) {
      files.push({ path, text: Deno.readTextFileSync(`${root}/${path}`) });
    }
  }
  return files.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** TypeScript and C. */
export function isSource(file: SourceFile): boolean {
  return /\.(ts|c|h)$/.test(file.path);
}

/** Characters after which a slash begins a regular expression and no division. */
const BEFORE_REGEXP = /(^|[(,=:[!&|?{};+\-*%<>~^\n]|\breturn|\btypeof|=>)\s*$/;

const TOKEN_KINDS = ["comment", "string", "template", "regexp", "code"] as const;
type TokenKind = typeof TOKEN_KINDS[number];

/** `text` with everything blanked whose kind is not in `kept`; line numbers stay. */
export function keep(text: string, kept: readonly TokenKind[]): string {
  let out = "";
  for (const [kind, part] of tokens(text)) out += kept.includes(kind) ? part : part.replace(/[^\n]/g, " ");
  return out;
}

/** Only what the compiler sees as code: no comments, no strings, no regular expressions. */
export function codeOnly(text: string): string {
  return keep(text, ["code"]);
}

function* tokens(text: string): Generator<[TokenKind, string]> {
  let codeFrom = 0;
  let at = 0;
  while (at < text.length) {
    const [kind, end] = tokenAt(text, at, codeFrom);
    if (kind !== "code") {
      if (at > codeFrom) yield ["code", text.slice(codeFrom, at)];
      yield [kind, text.slice(at, end)];
      codeFrom = end;
    }
    at = end;
  }
  if (text.length > codeFrom) yield ["code", text.slice(codeFrom)];
}

/** Kind and end of what begins at `at`; one character of code if nothing else does. */
function tokenAt(text: string, at: number, codeFrom: number): [TokenKind, number] {
  const char = text[at];
  const two = text.slice(at, at + 2);
  if (two === "//") return ["comment", indexAfter(text, "\n", at) - (text.includes("\n", at) ? 1 : 0)];
  if (two === "/*") return ["comment", indexAfter(text, "*/", at + 2)];
  if (char === '"' || char === "'") return ["string", endOfQuoted(text, at, char)];
  if (char === "`") return ["template", endOfTemplate(text, at)];
  if (char === "/" && BEFORE_REGEXP.test(text.slice(Math.max(codeFrom, at - 40), at))) {
    return ["regexp", endOfRegexp(text, at)];
  }
  return ["code", at + 1];
}

function indexAfter(text: string, what: string, from: number): number {
  const index = text.indexOf(what, from);
  return index < 0 ? text.length : index + what.length;
}

function endOfQuoted(text: string, at: number, quote: string): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === quote || text[i] === "\n") return i + 1;
  }
  return text.length;
}

/** A template is one token, expressions in it included; these may hold further templates. */
function endOfTemplate(text: string, at: number): number {
  let depth = 0;
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (depth === 0 && text[i] === "`") return i + 1;
    else if (depth === 0 && text.startsWith("${", i)) depth = 1, i++;
    else if (depth > 0 && text[i] === "{") depth++;
    else if (depth > 0 && text[i] === "}") depth--;
    else if (depth > 0 && text[i] === "`") i = endOfTemplate(text, i) - 1;
  }
  return text.length;
}

function endOfRegexp(text: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < text.length && text[i] !== "\n"; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "[") inClass = true;
    else if (text[i] === "]") inClass = false;
    else if (text[i] === "/" && !inClass) return i + 1;
  }
  return at + 1;
}

const IMPORTS = [
  /^\s*(?:import|export)\s[\w\s{},*$]*?\bfrom\s+"([^"]+)"/gm,
  /^\s*import\s+"([^"]+)"/gm,
  /\bimport\(\s*"([^"]+)"/g,
  // A worker's entry, or a module run as a program of its own.
  /\bnew URL\(\s*"([^"]+\.ts)",\s*import\.meta\.url/g,
];

/** What `file` imports: paths from the top folder for relative specifiers, all others as they are written. */
export function importsOf(file: SourceFile): string[] {
  const text = keep(file.text, ["code", "string"]);
  const specifiers = IMPORTS.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]));
  return specifiers.map((specifier) => specifier.startsWith(".") ? resolve(file.path, specifier) : specifier);
}

/** `specifier`, relative to the file `from`, as a path from the top folder. */
export function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}
