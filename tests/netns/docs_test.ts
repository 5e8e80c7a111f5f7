/**
 * Every command of README.md and docs/ is carried out as it stands there, by bash, against dist/ku; what a block shows as output must be what
 * comes, but for numbers. A block that is neither run nor known by name for what it is (a picture, a usage line) fails.
 *
 *     client ── eth0  node (ku)  veth1, veth2, pod3 ── pods: HTTP on 8080
 *
 * /etc, /usr/local and /var/lib are written over, not on: each command has a mount namespace with layers of its own, and its own list of
 * network namespaces, so that nothing is left of one that is killed.
 */

import { assert, assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { COMMANDS } from "../../cli/commands.ts";
import { descriptionsOf, formText, lineOf, usageOf } from "../../cli/spec.ts";
import { Daemon, KU } from "./harness/daemon.ts";
import { type Block, blocksOf, commandsOf, shapeOf, type Shown } from "./harness/documents.ts";
import { EXAMPLES, renameInterface } from "./harness/examples.ts";
import { Ground } from "./harness/ground.ts";
import { type Process, run, type RunResult } from "./harness/process.ts";
import { talk } from "./harness/terminal.ts";
import { startWebServers } from "./harness/web.ts";
import { buildFrame, concat, tcp } from "../packets/builder.ts";
import { PcapngWriter } from "../../mod/control/pcap.ts";

await requireGround();

const ROOT = new URL("../../", import.meta.url).pathname;
const FILES = ["README.md", ...[...Deno.readDirSync(`${ROOT}docs`)].map(({ name }) => `docs/${name}`)]
  .filter((name) => name.endsWith(".md")).sort();
const DESCRIPTIONS = await descriptionsOf(COMMANDS);
/** Lines that say how a command is written; tests/unit/cli compares them with the commands. */
const USAGES = new Set(DESCRIPTIONS.flatMap((description) => [
  usageOf(description),
  ...description.forms.map((form) => lineOf(description, formText(form))),
]));
/** Blocks of these languages hold no commands. */
const NO_COMMANDS = ["text", "yaml"];

/**
 * Programs that are not here or not for a test, by what stands in for each. Each says on standard output what it was asked for, or what the
 * real one would print; whatever it cannot do fails.
 */
const STAND_INS: Readonly<Record<string, string>> = {
  // `get … -o json`: the objects of the example, which kubectl would print so.
  kubectl: `case "$*" in
    "get services,endpointslices,nodes -A -o json") cat "$OBJECTS" ;;
    "apply -f "*) test -f "$3" && echo applied ;;
    *) echo "kubectl $*: not known to the test" >&2; exit 1 ;;
  esac`,
  scp: 'test "$#" = 2 && test -x "$1" && test "$2" = node: # the node is this one',
  "generate-services": "echo vip 10.99.0.1 port 80; echo pod 10.99.0.1 10.244.1.2",
  systemctl:
    'case "$1" in daemon-reload) ;; enable) test -f /etc/systemd/system/ku.service && test -f /etc/ku/ku.yaml ;; *) exit 1 ;; esac',
  // Tasks that CI and other tests run; here that they exist.
  npx: 'test "$1 $2 $3" = "-y deno@2.4.2 task" && jq -e --arg task "$4" ".tasks[\\$task]" deno.json',
};

/** Commands that go on until somebody ends them, as Ctrl-C does. */
const ENDLESS: readonly RegExp[] = [
  /^ku run\b/,
  /--watch$/,
  /^ku capture -w - \|/,
  /^ku capture (?!.*--seconds)/,
];

const STARTS = /^ku run\b/;
/** Commands that end the daemon they talk to. */
const ENDS = /^ku stop\b/;
/** Sections that attach interfaces themselves. */
const BARE = ["ku interface", "ku set"];

/** VIPs that a section takes for granted: lines for `ku exec`, before its block. */
const GIVEN: Readonly<Record<string, readonly string[]>> = {
  "ku pod": ["vip 90.0.0.0/8", "vip 10.96.0.10 protocol udp port 53"],
  "ku flush": ["vip 10.96.0.10 protocol udp port 53"],
  "ku top": ["vip 10.96.0.10"],
  // Somebody answers there, so that there is something to see at once.
  "ku capture": [
    "vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    "pod 10.96.0.10 10.244.1.2 10.244.1.3",
  ],
  "ku replay": [
    "vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    "pod 10.96.0.10 10.244.1.2 10.244.1.3",
  ],
  "ku explain": [
    "vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    "pod 10.96.0.10 10.244.1.2 10.244.1.3",
  ],
  "Seeing": [
    "vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    "pod 10.96.0.10 10.244.1.2 10.244.1.3",
  ],
  "JSON": ["vip 10.96.0.1 protocol tcp port 80 target_port 8080", "pod 10.96.0.1 10.244.1.2 10.244.1.30"],
  "Configuration file": [
    ...[1, 2, 3].map((n) => `vip 10.96.0.2${n}`),
    "vip 10.96.0.10 protocol udp port 53 target_port 5353",
    "pod 10.96.0.10 10.244.0.5 10.244.0.6",
  ],
  "Change": ["vip 10.96.0.10 protocol tcp port 80", "pod 10.96.0.10 10.244.1.2 10.244.1.3"],
  "Symptoms": [
    "vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    "pod 10.96.0.10 10.244.1.2 10.244.1.3",
  ],
};

/** ku.yaml where a section's shown output is about one. */
const KU_YAML: Readonly<Record<string, string>> = {
  "Configuration file": `vips:
  - { prefix: 10.96.0.21 }
  - { prefix: 10.96.0.22 }
  - { prefix: 10.96.0.23 }
  - { prefix: 10.96.0.10, protocol: udp, port: 53, pods: [10.244.0.5] }
  - { prefix: 10.96.0.30, protocol: tcp, port: 443, pods: [10.244.0.7, 10.244.0.8, 10.244.0.9] }
`,
};

/** The first block of a section may be its usage lines; the same line in a later one is an example ("ku top"). */
function isUsage({ lines, file, heading, line }: Block): boolean {
  const first = ALL.find((block) => block.file === file && block.heading === heading);
  return first?.line === line && lines.every((text) => USAGES.has(text));
}

const ALL = FILES.flatMap((file) => blocksOf(file, Deno.readTextFileSync(ROOT + file)));
const RUN = ALL.filter((block) => !isUsage(block) && !NO_COMMANDS.includes(block.language));

Deno.test("blocks that are not run hold no command", () => {
  for (const { file, line, lines, language } of ALL.filter((block) => NO_COMMANDS.includes(block.language))) {
    for (const text of lines) {
      assert(!/^\s*(\$ |ku )/.test(text), `${file}:${line}: a command under "${language}"`);
    }
  }
  assert(RUN.length > 25, "blocks to run");
});

Deno.test("the commands of the documents", async (t) => {
  await using ground = await Ground.create();
  await startWebServers(ground, 8080);
  await renameInterface(ground, ground.client, "eth0");
  for (const [index, last] of [2, 3].entries()) {
    const pod = ground.pods[index];
    await renameInterface(ground, pod, `veth${index + 1}`);
    await pod.namespace.ip(`addr add 10.244.1.${last}/32 dev eth0`);
    await ground.node.ip(`route add 10.244.1.${last} dev veth${index + 1}`);
    await ground.node.runOk(["ping", "-c", "1", "-W", "2", `10.244.1.${last}`]);
  }
  await using stage = await Stage.create(ground);
  for (const block of RUN) {
    await t.step(`${block.file}:${block.line} ${block.heading}`, () => stage.play(block));
  }
});

/** A node with ku for the commands to talk to; its configuration is made anew for each block. */
class Stage implements AsyncDisposable {
  #daemon: Daemon | null = null;

  private constructor(readonly ground: Ground, readonly bin: string, readonly work: string) {}

  static async create(ground: Ground): Promise<Stage> {
    const stage = new Stage(ground, `${ground.directory}/bin`, `${ground.directory}/work`);
    await Deno.mkdir(stage.bin);
    for (const [name, script] of Object.entries(STAND_INS)) {
      await Deno.writeTextFile(`${stage.bin}/${name}`, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
    }
    await Deno.symlink(KU, `${stage.bin}/ku`);
    // Ctrl-C after a while for ku alone: what reads its output comes to an end by itself.
    await Deno.mkdir(`${stage.bin}/ctrl-c`);
    const ctrlC = `#!/bin/bash\ntimeout --preserve-status -s INT 3 ${KU} "$@" || test $? = 130\n`;
    await Deno.writeTextFile(`${stage.bin}/ctrl-c/ku`, ctrlC, { mode: 0o755 });
    return stage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon?.[Symbol.asyncDispose]();
  }

  async play(block: Block): Promise<void> {
    await this.#files(block.heading);
    const shown = commandsOf(block);
    const starts = shown.filter(({ command }) => STARTS.test(command));
    const others = shown.filter((one) => !starts.includes(one));
    if (others.some(({ command }) => ENDS.test(command))) return await this.#playEnds(block, others);
    if (starts.length === 0) {
      return await this.#all(block, others, (await this.#prepared(block.heading)).socket);
    }
    // A block that starts its own daemon has the node for itself; each must end well.
    await this.#stop();
    for (const { command } of starts) {
      const words = command.replace(/\s*(&.*)?(#.*)?$/, "").split(" ").slice(2);
      // Files of /etc are those of the block's own folder.
      const own = words.map((word) =>
        word.startsWith("/etc/") ? `${this.work}/${word.split("/").at(-1)}` : word
      );
      await using predecessor = words.includes("--upgrade")
        ? await Daemon.start(this.ground, { quiet: true })
        : null;
      const successorOf = predecessor ?? undefined;
      await using daemon = await Daemon.start(this.ground, { words: own, quiet: true, successorOf });
      await this.#all(block, others, daemon.socket);
      await daemon.end("SIGTERM");
    }
  }

  /** Each command has a daemon to end; what it leaves of it goes then. */
  async #playEnds(block: Block, shown: readonly Shown[]): Promise<void> {
    await this.#stop();
    for (const one of shown) {
      await using daemon = await Daemon.start(this.ground, { quiet: true });
      await this.#all(block, [one], daemon.socket);
      assertEquals((await daemon.process.ended(1_000)).code, 0);
      if (!one.command.includes("--keep")) continue;
      const { code, stderr } = await this.#command("ku stop", daemon.socket);
      assertEquals([code, stderr], [0, ""]);
    }
  }

  async #stop(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = null;
  }

  /** The daemon with the configuration that a section takes for granted. */
  async #prepared(heading: string): Promise<Daemon> {
    const daemon = this.#daemon ??= await Daemon.start(this.ground, { quiet: true });
    const pods = ["veth1", "veth2"].map((name) => ({ name, nat4: "in" }));
    const interfaces = BARE.includes(heading) ? [] : [{ name: "eth0" }, ...pods];
    const stdin = JSON.stringify({ conf: {}, interfaces, vips: [] });
    const { code, stderr } = await daemon.runWith({ stdin }, "apply", "--quiet", "-f", "-");
    assertEquals([code, stderr], [0, ""]);
    await daemon.apply("clear node counters", ...GIVEN[heading] ?? []);
    return daemon;
  }

  async #all(block: Block, shown: readonly Shown[], socket: string): Promise<void> {
    for (const { command, output } of shown) {
      const where = `${block.file}:${block.line}: ${command}`;
      const { code, text, stderr } = await this.#command(command, socket);
      // `diff` says by 1 that there is a difference, `doctor` that something is wrong.
      const fine = /^ku (diff)\b/.test(command) ? [0, 1] : [0];
      assert(fine.includes(code), `${where}\nexit ${code}\n${text.slice(-1000)}${stderr}`);
      if (output !== null) assertEquals(shapeOf(text), shapeOf(output.join("\n")), where);
    }
  }

  async #command(command: string, socket: string): Promise<RunResult> {
    const endless = ENDLESS.some((pattern) => pattern.test(command)) ? `${this.bin}/ctrl-c:` : "";
    const env = {
      KU_SOCKET: socket,
      PATH: `${endless}${this.bin}:${Deno.env.get("PATH")}`,
      HOME: this.work,
      OBJECTS: `${EXAMPLES}kubernetes/services.yaml`,
      LAYERS: `${this.ground.directory}/layers`,
    };
    if (command === "ku top") return await talk([KU, "top"], [["10.96", "q"]], { env });
    await using _traffic = /capture|tcpdump/.test(command) ? this.#traffic() : null;
    const script = `for place in /etc /usr/local /var/lib; do
      mkdir -p "$LAYERS$place/upper" "$LAYERS$place/work"
      mount -t overlay overlay -o "lowerdir=$place,upperdir=$LAYERS$place/upper,workdir=$LAYERS$place/work" "$place"
    done
    mount -t tmpfs none /run/netns
    mkdir -p /etc/bash_completion.d /usr/local/share/zsh/site-functions
    set -o pipefail
    ${command}`;
    const before = ["ip", "netns", "exec", this.ground.node.name];
    return await run([...before, "bash", "-c", script], { cwd: this.work, env, timeoutMs: 120_000 });
  }

  /** Requests for whoever watches, until it is disposed of. */
  #traffic(): Process {
    const words = ["--max-time", "1", "--rate", "50/s", "http://10.96.0.10/who?[1-1000000]"];
    return this.ground.client.namespace.start("requests", ["curl", "-s", "-o", "/dev/null", ...words]);
  }

  /** A folder with all that the commands name, as the repository has it. */
  async #files(heading: string): Promise<void> {
    await Deno.remove(this.work, { recursive: true }).catch(() => {});
    await Deno.mkdir(`${this.work}/.config/fish/completions`, { recursive: true });
    await Deno.mkdir(`${this.work}/dist`);
    for (const name of ["examples", "docs", "deno.json"]) {
      await Deno.symlink(ROOT + name, `${this.work}/${name}`);
    }
    await Deno.symlink(KU, `${this.work}/dist/ku`);
    const write = (name: string, text: string) => Deno.writeTextFile(`${this.work}/${name}`, text);
    const vip = "vips: [{ prefix: 10.96.0.40, protocol: tcp, port: 80, pods: [10.244.1.2] }]\n";
    await write("ku.yaml", KU_YAML[heading] ?? vip);
    await write("one-more-vip.yaml", vip);
    await Deno.copyFile(`${EXAMPLES}services.ku`, `${this.work}/services.ku`);
    await Deno.copyFile(`${EXAMPLES}kubernetes/services.yaml`, `${this.work}/services.yaml`);
    await write("slices.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    const writer = new PcapngWriter();
    const bytes = buildFrame({ src: "10.1.1.2", dst: "10.96.0.40" }, tcp({ srcPort: 1000, dstPort: 80 }));
    const packet = writer.packet(
      "eth0",
      { timeUs: 1.7e15, bytes, originalBytes: bytes.length },
      "in",
      "sent by a test",
    );
    await Deno.writeFile(`${this.work}/in.pcap`, concat(writer.header("a test"), packet));
  }
}
