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
  return new TableWriter(columns).rows(rows);
}

/** A table that comes in pieces. A column is as wide as its widest cell so far. */
export class TableWriter {
  readonly #columns: readonly Column[];
  readonly #widths: number[];
  #started = false;

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#widths = columns.map(({ title }) => width(title));
  }

  /** Lines of the next rows; before the first ones, the header. */
  rows(rows: readonly (readonly string[])[]): string {
    // NB: no Math.max(...rows): a million sessions are more arguments than a call takes.
    for (const row of rows) {
      for (let index = 0; index < row.length; index++) {
        this.#widths[index] = Math.max(this.#widths[index], width(row[index]));
      }
    }
    const header = this.#started ? [] : [this.#columns.map((column) => column.title)];
    this.#started = true;
    return [...header, ...rows].map((cells) => this.#line(cells)).join("");
  }

  #line(cells: readonly string[]): string {
    return cells.map((cell, index) => {
      const gap = " ".repeat(this.#widths[index] - width(cell));
      return this.#columns[index].right ? gap + cell : cell + gap;
    }).join("  ").trimEnd() + "\n";
  }
}
