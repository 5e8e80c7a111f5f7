/**
 * Colors and weights of text, for people at a terminal.
 *
 * Rule: where the text goes to a file or a pipe, under NO_COLOR (https://no-color.org), and on a terminal that says it
 * is dumb, there is not one escape sequence.
 */

// ECMA-48 §8.3.117, select graphic rendition.
const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

export type Style = keyof typeof CODES;

/** Whether standard output shows styles. */
export function isStyled(): boolean {
  return Deno.stdout.isTerminal() && !Deno.noColor && Deno.env.get("TERM") !== "dumb";
}

/** `text` in `style` when `on`. */
export function styled(text: string, style: Style, on: boolean = isStyled()): string {
  return on && text !== "" ? `\x1b[${CODES[style][0]}m${text}\x1b[${CODES[style][1]}m` : text;
}
