/**
 * What `ku run` was told on its command line. In a file of its own so that the daemon and the command
 * line share it without importing each other.
 */

export type LogLevel = "error" | "warn" | "info" | "debug";
export const LOG_LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug"];

export type LogFormat = "text" | "json";
export const LOG_FORMATS: readonly LogFormat[] = ["text", "json"];

export interface RunOptions {
  /** Path of the configuration file, absent: start empty. */
  config?: string;
  /** Folder that keeps the running configuration; what is there goes before `config`. Absent: it is not kept. */
  stateDir?: string;
  /** Take over from the daemon at `socket`: its configuration, instead of `config` and `stateDir`, and its sessions. */
  upgrade?: boolean;
  /** Path of the Unix socket. */
  socket: string;
  /** Number of workers; absent: as many as the attached interfaces have RX queues, at most the cores. */
  workers?: number;
  /** Interfaces to attach with mode auto, beside those of the configuration file; may repeat them. */
  interfaces: string[];
  /** "address:port" or "[v6]:port" to serve metrics on. */
  metrics?: string;
  logLevel: LogLevel;
  logFormat: LogFormat;
}
