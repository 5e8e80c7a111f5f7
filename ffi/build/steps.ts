/**
 * What every build step is made of: running a command with progress, failing in one clear line, and skipping
 * work whose inputs have not changed since it was last done (make's idea, with the list of inputs included, so
 * that a deleted or an older file counts as a change too).
 *
 * Rule: this folder runs on a bare machine before anything is fetched, so it imports nothing but itself.
 */

/** The repository's top folder, absolute, without a slash at its end. */
export const ROOT = import.meta.dirname!.replace(/\/ffi\/build$/, "");

/** What the build makes besides the executable: embedded whole by `deno compile`. See ffi/build/compile.ts. */
export const BUILD_FOLDER = `${ROOT}/dist/build`;

/**
 * For every Deno command that imports packages. deno.json itself says `"lock": false` and names the packages in
 * `scopes`, because `deno task` fetches what it finds in the lock file and in `imports` before it runs any task, and
 * so before a task can say DENO_TLS_CA_STORE: behind a proxy with a certificate of its own no task would start.
 */
export const LOCK_FLAGS = ["--lock=deno.lock", "--frozen"];

/** Fingerprints of finished steps; beside the build folder so that they are not embedded. */
const STAMP_FOLDER = `${ROOT}/dist/stamps`;

/** How long a silent command runs before a line says that it still does. */
const HEARTBEAT_MS = 10_000;
const LINES_SHOWN_ON_FAILURE = 20;

/** A step that could not be done. The message says what failed and what to do, in one line. */
export class StepError extends Error {
  override name = "StepError";
}

/** One progress line of `step`. */
export function progress(step: string, text: string): void {
  console.log(`build: ${step}: ${text}`);
}

export interface CommandOptions {
  step: string;
  /** Completes the sentence "… failed". */
  what: string;
  /** What the reader can do about a failure. */
  remedy: string;
  env?: Record<string, string>;
  /** Output lines worth showing while the command runs; the others are kept for a failure. */
  show?: RegExp;
}

/** Runs `command` in the repository's folder; its standard output. Throws StepError, after the last lines of output. */
export async function runCommand(command: string, args: string[], options: CommandOptions): Promise<string> {
  const started = Date.now();
  progress(options.step, options.what);
  const heartbeat = setInterval(() => {
    progress(options.step, `${options.what} … ${Math.round((Date.now() - started) / 1000)} s`);
  }, HEARTBEAT_MS);
  try {
    const child = spawn(command, args, options);
    const lines: string[] = [];
    const keep = (line: string) => {
      lines.push(line);
      if (options.show?.test(line)) progress(options.step, line);
    };
    const [output, , status] = await Promise.all([
      readLines(child.stdout, keep),
      readLines(child.stderr, keep),
      child.status,
    ]);
    if (!status.success) {
      for (const line of lines.slice(-LINES_SHOWN_ON_FAILURE)) console.error(`  ${line}`);
      const reason = status.signal === null ? `exit code ${status.code}` : status.signal;
      throw new StepError(`${options.what} failed (${command}: ${reason}), ${options.remedy}`);
    }
    return output;
  } finally {
    clearInterval(heartbeat);
  }
}

function spawn(command: string, args: string[], options: CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(command, {
      args,
      cwd: ROOT,
      env: options.env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new StepError(`${options.what} failed (no command ${command}), ${options.remedy}`);
  }
}

async function readLines(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<string> {
  let text = "";
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
  return text;
}

/** Whether `path` is there, whatever it is. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** All files below `folder` (absolute, sorted) whose path passes `wanted`; none when there is no such folder. */
export function filesBelow(folder: string, wanted: (path: string) => boolean): string[] {
  if (!exists(folder)) return [];
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...filesBelow(path, wanted));
    else if (wanted(path)) found.push(path);
  }
  return found.sort();
}

/**
 * Does `action` unless `outputs` are there and were made from these very `inputs` (path, size, time of change)
 * and `settings`. Says so in either case.
 */
export async function makeOnce(
  step: string,
  made: { inputs: string[]; outputs: string[]; settings?: string },
  action: () => Promise<void> | void,
): Promise<void> {
  const stamp = `${STAMP_FOLDER}/${step}`;
  const fingerprint = [made.settings ?? "", ...made.inputs.map(describe), ...made.outputs].join("\n");
  const outputsThere = made.outputs.every(exists);
  if (outputsThere && exists(stamp) && Deno.readTextFileSync(stamp) === fingerprint) {
    progress(step, "up to date");
    return;
  }
  const started = Date.now();
  await action();
  Deno.mkdirSync(STAMP_FOLDER, { recursive: true });
  Deno.writeTextFileSync(stamp, fingerprint);
  progress(step, `done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

function describe(path: string): string {
  const info = Deno.statSync(path);
  return `${path} ${info.size} ${info.mtime?.getTime()}`;
}
