/** Fenced blocks of Markdown, and the command lines in them. */

export interface Block {
  /** Path below the repository, and the line of the opening fence. */
  file: string;
  line: number;
  /** The nearest heading above. */
  heading: string;
  /** The word after the fence. */
  language: string;
  lines: string[];
}

/** A command line and, where the block shows it, what it prints. */
export interface Shown {
  command: string;
  output: string[] | null;
}

/** The fenced blocks of a text. */
export function blocksOf(file: string, text: string): Block[] {
  const blocks: Block[] = [];
  let heading = "";
  let open: Block | null = null;
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (open !== null && fence !== null) {
      blocks.push(open);
      open = null;
    } else if (fence !== null) {
      open = { file, line: index + 1, heading, language: fence[1], lines: [] };
    } else if (open !== null) {
      open.lines.push(line);
    } else if (line.startsWith("#")) {
      heading = line.replace(/^#+ /, "").replaceAll("`", "");
    }
  }
  if (open !== null) throw new Error(`${file}:${open.line}: a block without end`);
  return blocks;
}

/** The commands of a block: all of its lines, or, with "$ " in front of them, those, and what follows as their output. */
export function commandsOf({ lines }: Block): Shown[] {
  if (!lines.some((line) => line.startsWith("$ "))) {
    return lines.filter((line) => line.trim() !== "").map((command) => ({ command, output: null }));
  }
  const shown: { command: string; output: string[] }[] = [];
  for (const line of lines) {
    if (line.startsWith("$ ")) shown.push({ command: line.slice(2), output: [] });
    else shown.at(-1)?.output.push(line);
  }
  return shown;
}

/** What stays of an output when another machine prints it: numbers and hardware addresses become signs, blanks one. */
export function shapeOf(output: string): string[] {
  return output.trimEnd().split("\n").map((line) =>
    line.replace(/\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b/g, "MAC").replace(/\d+/g, "N").replace(/\s+/g, " ")
      .trimEnd()
  );
}
