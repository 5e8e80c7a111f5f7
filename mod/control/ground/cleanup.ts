/**
 * Nothing that a ground makes outlives it, whatever ends it: a return, an exception, Ctrl-C or kill -9. Ordinary ends dispose of their things
 * themselves (`await using`). For the others a small shell, in a session of its own so that Ctrl-C does not reach it, holds the other end
 * of a pipe: it is told the name of every network namespace and directory before it is made, and when the pipe closes because this
 * process is gone, it ends what still runs in those namespaces and removes them. (`deno test` leaves at once on SIGINT, so a signal
 * listener in the test would not get its turn.)
 *
 * @module
 */

const KEEPER = `
trap '' INT TERM HUP
while read -r verb kind name; do
  case "$verb $kind" in
    "add netns") namespaces="$namespaces $name " ;;
    "add directory") directories="$directories $name " ;;
    "done netns") namespaces=\${namespaces%% $name *}\${namespaces#* $name } ;;
    "done directory") directories=\${directories%% $name *}\${directories#* $name } ;;
  esac
done
for name in $namespaces; do
  [ -e "/run/netns/$name" ] || continue
  for pid in $(ip netns pids "$name"); do kill -9 "$pid"; done
  ip netns del "$name"
done
for name in $directories; do rm -rf -- "$name"; done
`;

type Kind = "netns" | "directory";

let keeper: WritableStreamDefaultWriter<Uint8Array> | undefined;

/** The keeper, started when first asked for. */
export function startKeeper(): WritableStreamDefaultWriter<Uint8Array> {
  return keeper ??= spawnKeeper();
}

function spawnKeeper(): WritableStreamDefaultWriter<Uint8Array> {
  // NB: --fork. Deno kills its children when a test file dies by an uncaught error, and would kill the keeper first of all.
  const child = new Deno.Command("setsid", {
    args: ["--fork", "sh", "-c", KEEPER],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  child.unref();
  return child.stdin.getWriter();
}

async function tell(verb: "add" | "done", kind: Kind, name: string): Promise<void> {
  await startKeeper().write(new TextEncoder().encode(`${verb} ${kind} ${name}\n`));
}

/** To be called before a namespace or directory is made. */
export function keep(kind: Kind, name: string): Promise<void> {
  return tell("add", kind, name);
}

/** To be called after it has been removed. */
export function forget(kind: Kind, name: string): Promise<void> {
  return tell("done", kind, name);
}

/** A fresh directory, removed with `await using`. */
export class TemporaryDirectory implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<TemporaryDirectory> {
    const path = await Deno.makeTempDir({ prefix: "ku-" });
    await keep("directory", path);
    return new TemporaryDirectory(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
    await forget("directory", this.path);
  }
}
