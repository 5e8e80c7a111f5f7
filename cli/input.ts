/** What commands read: a file, or standard input for "-". */

import { ConfigError } from "../mod/config/model.ts";

/** How errors name where a text came from. */
export function sourceName(file: string): string {
  return file === "-" ? "stdin" : file;
}

/** All of standard input for "-", else the file. Throws a ConfigError. */
export async function readInput(file: string): Promise<string> {
  return file === "-" ? await new Response(Deno.stdin.readable).text() : readFile(file);
}

/** Throws a ConfigError for a file that cannot be read. */
export function readFile(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    throw new ConfigError(
      "file",
      file,
      `cannot be read (${error instanceof Error ? error.message : String(error)})`,
    );
  }
}
