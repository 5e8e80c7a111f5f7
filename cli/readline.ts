/**
 * One line from a terminal, with editing, history and completion: Node's readline, which Deno brings along.
 *
 * NB: an import of "node:readline" would put @types/node into deno.lock and 2.5 MB into the executable; asked for at run time it
 * costs nothing. The few types are here.
 *
 * Reference: https://nodejs.org/api/readline.html
 */

/** Called with (error, [candidates, the part of the line they replace]). */
type CompleterCallback = (error: Error | null, result: [string[], string]) => void;

interface Interface {
  setPrompt(prompt: string): void;
  prompt(): void;
  close(): void;
  on(event: "line", listener: (line: string) => void): void;
  on(event: "history", listener: (history: string[]) => void): void;
  on(event: "close" | "SIGINT", listener: () => void): void;
}

interface Readline {
  createInterface(options: {
    input: unknown;
    output: unknown;
    terminal: boolean;
    history: string[];
    historySize: number;
    removeHistoryDuplicates: boolean;
    completer: (line: string, callback: CompleterCallback) => void;
  }): Interface;
}

interface NodeProcess {
  stdin: unknown;
  stdout: unknown;
  getBuiltinModule(name: string): unknown;
}

export interface LineOptions {
  prompt: string;
  /** Newest first; grows by the line that is read. */
  history: string[];
  historySize: number;
  complete: (line: string) => Promise<[string[], string]>;
}

/** The next line; null at the end of input (Ctrl-D). Ctrl-C gives an empty one. The terminal is in its usual mode afterwards. */
export function readLine({ prompt, history, historySize, complete }: LineOptions): Promise<string | null> {
  const process = (globalThis as unknown as { process: NodeProcess }).process;
  const readline = process.getBuiltinModule("node:readline") as Readline;
  return new Promise((resolve) => {
    const line = readline.createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      history: [...history],
      historySize,
      removeHistoryDuplicates: true,
      completer: (text, callback) => {
        complete(text).then((result) => callback(null, result), () => callback(null, [[], text]));
      },
    });
    const end = (text: string | null): void => {
      resolve(text);
      line.close();
    };
    line.on("history", (entries) => history.splice(0, history.length, ...entries));
    line.on("line", end);
    line.on("SIGINT", () => {
      Deno.stdout.writeSync(new TextEncoder().encode("\n"));
      end("");
    });
    line.on("close", () => resolve(null));
    line.setPrompt(prompt);
    line.prompt();
  });
}
