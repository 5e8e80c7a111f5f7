/** Aligned columns for people. */

export interface Column {
  title: string;
  /** Numbers stand at the right. */
  right?: boolean;
}

/** Terminal cells of `text`; ku prints no wide characters, names of interfaces may have any, each counts one. */
const width = (text: string): number => [...text].length;

/** A header and rows with two blanks between columns, one line each, ended by newlines. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  // NB: no Math.max(...rows): a million sessions are more arguments than a call takes.
  const widths = columns.map((column, index) =>
    rows.reduce((widest, row) => Math.max(widest, width(row[index])), width(column.title))
  );
  const line = (cells: readonly string[]): string =>
    cells.map((cell, index) => {
      const gap = " ".repeat(widths[index] - width(cell));
      return columns[index].right ? gap + cell : cell + gap;
    }).join("  ").trimEnd() + "\n";
  return [columns.map((column) => column.title), ...rows].map(line).join("");
}
