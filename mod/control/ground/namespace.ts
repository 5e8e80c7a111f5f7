/**
 * A network namespace with a name of its own, the programs run in it, and its end: first the processes that `ip netns pids` still finds in
 * it, one by one, then the namespace, and with it every interface it holds.
 *
 * @module
 */

import { forget, keep } from "./cleanup.ts";
import { Process, run, runOk, type RunOptions, type RunResult } from "./process.ts";

let made = 0;
// Every test file is a module world of its own inside one process, hence the random part.
const stem = `ku${Deno.pid.toString(16)}-${crypto.randomUUID().slice(0, 4)}`;

export class Namespace implements AsyncDisposable {
  private constructor(readonly name: string) {}

  /** Makes `ku<pid>-<random>-<number>-<label>`, or `name` itself when given. Loopback is up, IPv6 addresses are usable at once. */
  static async create(label: string, name = `${stem}-${++made}-${label}`): Promise<Namespace> {
    await keep("netns", name);
    await runOk(["ip", "netns", "add", name]);
    const namespace = new Namespace(name);
    await namespace.ip("link set lo up");
    await namespace.sysctl("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.dad_transmits=0");
    return namespace;
  }

  get path(): string {
    return `/run/netns/${this.name}`;
  }

  /** The command line that runs `command` inside, without the fresh /sys that `ip netns exec` mounts: a millisecond, not eight. */
  enter(command: readonly string[]): string[] {
    return ["nsenter", `--net=${this.path}`, "--", ...command];
  }

  run(command: readonly string[], options?: RunOptions): Promise<RunResult> {
    return run(this.enter(command), options);
  }

  runOk(command: readonly string[], options?: RunOptions): Promise<string> {
    return runOk(this.enter(command), options);
  }

  /** Starts a server inside. nsenter executes it in its own place, so `pid` is the server's. */
  start(name: string, command: readonly string[], options?: Omit<RunOptions, "stdin">): Process {
    return new Process(name, this.enter(command), options);
  }

  /** `ip` commands, one a line, without the word `ip`; the first that fails throws. */
  async ip(...lines: string[]): Promise<void> {
    await runOk(["ip", "-n", this.name, "-batch", "-"], { stdin: lines.join("\n") + "\n" });
  }

  /** What `ip -json <words>` answers in this namespace; the caller names the shape it expects. */
  async ipJson<T>(...words: string[]): Promise<T> {
    return JSON.parse(await runOk(["ip", "-n", this.name, "-json", ...words]) || "[]");
  }

  /** Kernel settings of this namespace, `net.ipv4.ip_forward=1` and the like. */
  async sysctl(...settings: string[]): Promise<void> {
    // Without the program sysctl, which not every node has. A slash in a setting stands for a dot in an interface's name, as there.
    const files = settings.flatMap((setting) => {
      const [name, value] = setting.split("=");
      return [`/proc/sys/${name.replace(/[./]/g, (sign) => sign === "." ? "/" : ".")}`, value];
    });
    await this.runOk(["sh", "-ec", 'while [ $# -gt 0 ]; do echo "$2" > "$1"; shift 2; done', "sh", ...files]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (
      const pid of (await runOk(["ip", "netns", "pids", this.name])).split("\n").filter((line) => line !== "")
    ) {
      try {
        Deno.kill(Number(pid), "SIGKILL");
      } catch {
        // It ended between the list and the signal.
      }
    }
    await runOk(["ip", "netns", "del", this.name]);
    await forget("netns", this.name);
  }
}
