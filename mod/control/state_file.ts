/**
 * The running configuration on disk: `<state-dir>/ku.json`, in the format of the configuration file.
 *
 * Rule: what stands there is always a whole configuration: a new one is written beside it, flushed to the disk, and takes its name. A
 * change starts a write at once; changes while one is under way share the next, and writes keep a distance, so that a script of a
 * thousand commands does not wait for a thousand disks. No command waits for the disk; `close` writes what is left.
 *
 * References: rename(2); fsync(2), "does not necessarily ensure that the entry in the directory has also reached disk".
 *
 * @module
 */

import { type ConfigDocument, documentOf } from "../config/document.ts";
import { ConfigError } from "../config/model.ts";
import type { ConfigState } from "../config/state.ts";
import type { Log } from "./log.ts";

const FILE_NAME = "ku.json";
/** From the end of a write to the beginning of the next. */
const DISTANCE_MS = 100;

export class StateFile {
  readonly path: string;
  readonly #folder: string;
  readonly #state: ConfigState;
  readonly #log: Log;
  #dirty = false;
  /** The last write failed: the next change, or the end, tries again. */
  #unsaved = false;
  #running: Promise<void> | null = null;
  #closing: () => void = () => {};
  readonly #closed: Promise<void>;

  /** Makes `folder` if it is not there; throws a ConfigError if it cannot be. */
  constructor(folder: string, state: ConfigState, log: Log) {
    this.#folder = folder;
    this.path = StateFile.pathIn(folder);
    this.#state = state;
    this.#log = log;
    this.#closed = new Promise((resolve) => this.#closing = resolve);
    try {
      Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new ConfigError("state-dir", folder, `cannot be made: ${(error as Error).message}`);
    }
  }

  static pathIn(folder: string): string {
    return `${folder}/${FILE_NAME}`;
  }

  /** The text that was saved last, null when nothing was. Throws a ConfigError when there is one that cannot be read. */
  static read(folder: string): string | null {
    try {
      return Deno.readTextFileSync(StateFile.pathIn(folder));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw new ConfigError("state-dir", folder, `cannot be read: ${(error as Error).message}`);
    }
  }

  /** The state has changed. */
  save(): void {
    this.#dirty = true;
    this.#running ??= this.#run().finally(() => this.#running = null);
  }

  /** Resolves when all that was changed is on the disk, or has been tried. */
  async close(): Promise<void> {
    this.#closing();
    await this.#running;
    if (!this.#unsaved) return;
    this.save();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#dirty) {
      this.#dirty = false;
      try {
        await this.#write(documentOf(this.#state));
        this.#unsaved = false;
      } catch (error) {
        this.#unsaved = true;
        this.#log.error(
          `state-dir ${this.#folder} : the configuration could not be saved: ${(error as Error).message}`,
        );
      }
      if (this.#dirty) await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    let timer = 0;
    const time = new Promise<void>((resolve) => timer = setTimeout(resolve, DISTANCE_MS));
    await Promise.race([time, this.#closed]);
    clearTimeout(timer);
  }

  async #write(document: ConfigDocument): Promise<void> {
    const unfinished = `${this.path}.new`;
    const file = await Deno.open(unfinished, { write: true, create: true, truncate: true, mode: 0o600 });
    try {
      const bytes = new TextEncoder().encode(textOf(document));
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(unfinished, this.path);
    const folder = await Deno.open(this.#folder);
    try {
      await folder.sync();
    } finally {
      folder.close();
    }
  }
}

/** JSON with one VIP a line: readable, and quick to compare. */
function textOf({ conf, interfaces, vips }: ConfigDocument): string {
  const list = (items: readonly unknown[]) =>
    items.length === 0 ? "[]" : `[\n${items.map((item) => `    ${JSON.stringify(item)}`).join(",\n")}\n  ]`;
  return `{\n  "conf": ${JSON.stringify(conf)},\n  "interfaces": ${list(interfaces)},\n  "vips": ${
    list(vips)
  }\n}\n`;
}
