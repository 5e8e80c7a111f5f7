/**
 * The daemon's log: one event a line on stderr. As text `<level> <what> : <detail>`, to which systemd and container runtimes add the
 * time; as JSON an object with `time`, `level`, `what` and `detail`.
 *
 * @module
 */

import type { LogFormat, LogLevel } from "../config/run_options.ts";

const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export class Log {
  readonly #threshold: number;
  readonly #format: LogFormat;
  readonly #write: (line: string) => void;

  constructor(level: LogLevel, format: LogFormat = "text", write = console.error) {
    this.#threshold = ORDER[level];
    this.#format = format;
    this.#write = write;
  }

  debug(line: string): void {
    this.#log("debug", line);
  }

  info(line: string): void {
    this.#log("info", line);
  }

  warn(line: string): void {
    this.#log("warn", line);
  }

  error(line: string): void {
    this.#log("error", line);
  }

  #log(level: LogLevel, line: string): void {
    if (ORDER[level] < this.#threshold) return;
    this.#write(
      this.#format === "json" ? asJson(level, line, new Date()) : `${level} ${line.replaceAll("\n", " | ")}`,
    );
  }
}

/** "what : detail" as an object; a line without the colon is all `what`. */
export function asJson(level: LogLevel, line: string, time: Date): string {
  const [what, ...detail] = line.split(" : ");
  return JSON.stringify({
    time: time.toISOString(),
    level,
    what,
    ...detail.length > 0 && { detail: detail.join(" : ") },
  });
}
