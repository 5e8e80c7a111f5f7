/**
 * The daemon's log: one line an event on stderr, `<level> <what>: <detail>`. systemd and container runtimes add the time.
 *
 * @module
 */

import type { LogLevel } from "../config/run_options.ts";

const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export class Log {
  readonly #threshold: number;

  constructor(level: LogLevel) {
    this.#threshold = ORDER[level];
  }

  debug(line: string): void {
    this.#write("debug", line);
  }

  info(line: string): void {
    this.#write("info", line);
  }

  warn(line: string): void {
    this.#write("warn", line);
  }

  error(line: string): void {
    this.#write("error", line);
  }

  #write(level: LogLevel, line: string): void {
    if (ORDER[level] < this.#threshold) return;
    console.error(`${level} ${line.replaceAll("\n", " | ")}`);
  }
}
