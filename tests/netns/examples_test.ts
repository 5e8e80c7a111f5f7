/**
 * Every file of examples/ at work, with real traffic: a file that no test here or elsewhere runs fails the first of them.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods: HTTP on 8080, who am I on 5353
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { load, loadAll } from "js-yaml";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU } from "./harness/daemon.ts";
import { spreadOverNodes } from "./harness/ecmp.ts";
import {
  addAddresses,
  exampleFiles,
  EXAMPLES,
  renameInterface,
  startExample,
  whoAnswered,
} from "./harness/examples.ts";
import { askUdp, serveIdentity } from "./harness/identity.ts";
import { run, runOk } from "./harness/process.ts";
import { until } from "./harness/wait.ts";
import { startWebServers } from "./harness/web.ts";

await requireGround();

const WEB_PORT = 8080;
const WHO_PORT = 5353;
/** Enough for each of three pods to be met, but for once in a thousand million runs; which client port meets whom is fixed anyway. */
const REQUESTS = 30;
const PODS = new Set(["pod1", "pod2", "pod3"]);

/** Files whose test stands elsewhere: the test must name the file. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "systemd/ku.service": "service_test.ts",
  "grafana/ku.json": "metrics_test.ts",
};
const HERE: Readonly<Record<string, (ground: Ground) => Promise<void>>> = {
  "clusterip.yaml": clusterIp,
  "nodeport.yaml": nodePort,
  "ecmp.yaml": ecmp,
  "dual-stack.yaml": dualStack,
  "nat64.yaml": nat64,
  "ku.yaml": everyKey,
  "services.ku": commands,
  "kubernetes/services.yaml": kubernetes,
  "kubernetes/daemonset.yaml": daemonSet,
  "kubernetes/Containerfile": containerfile,
  "ci/namespaces.sh": namespaces,
  "ci/workflow.yaml": workflow,
  "demo.ts": demo,
  "demo.yaml": demoConfiguration,
};

Deno.test("every file of examples/ has its test", async () => {
  assertEquals(exampleFiles(), [...Object.keys(HERE), ...Object.keys(ELSEWHERE)].sort());
  for (const [file, test] of Object.entries(ELSEWHERE)) {
    assertStringIncludes(await Deno.readTextFile(new URL(test, import.meta.url)), `examples/${file}`);
  }
});

for (const [file, test] of Object.entries(HERE)) {
  Deno.test(`examples/${file}`, async () => {
    await using ground = await Ground.create();
    await startWebServers(ground, WEB_PORT);
    await test(ground);
  });
}

async function clusterIp(ground: Ground): Promise<void> {
  const agents = await serveIdentity(ground, WHO_PORT);
  await using daemon = await startExample(ground, "clusterip.yaml");
  const { address, namespace } = ground.client;
  const asked = await whoAnswered(namespace, "http://10.96.0.10", REQUESTS);
  assertEquals(asked, { pods: PODS, clients: new Set([address]) });
  const answered = new Set<string>();
  for (let n = 0; n < REQUESTS; n++) {
    answered.add((await askUdp(agents.of(ground.client), ["10.96.0.10", 53])).pod);
  }
  assertEquals(answered, PODS);
  // A pod reaches it, too, and itself among the others.
  assertEquals((await whoAnswered(ground.pods[0].namespace, "http://10.96.0.10", REQUESTS)).pods, PODS);
  await daemon.stop();
}

async function nodePort(ground: Ground): Promise<void> {
  await using daemon = await startExample(ground, "nodeport.yaml");
  const { namespace, gateway, gateway6 } = ground.client;
  for (const host of [gateway, ground.pods[1].gateway, `[${gateway6}]`]) {
    assertEquals((await whoAnswered(namespace, `http://${host}:30080`, REQUESTS)).pods, PODS, host);
  }
  assertEquals((await whoAnswered(namespace, "http://10.96.0.20", REQUESTS)).pods, PODS);
  await daemon.stop();
}

async function dualStack(ground: Ground): Promise<void> {
  await using daemon = await startExample(ground, "dual-stack.yaml");
  const { namespace, address, address6 } = ground.client;
  for (const [host, client] of [["10.96.0.30", address], ["[fd00:96::30]", address6]]) {
    const { pods, clients } = await whoAnswered(namespace, `http://${host}`, 10);
    assertEquals([pods.size, clients], [1, new Set([client])], `one pod for a client, ${host}`);
  }
  await daemon.stop();
}

async function nat64(ground: Ground): Promise<void> {
  await using daemon = await startExample(ground, "nat64.yaml");
  const { namespace } = ground.client;
  const six = await whoAnswered(namespace, "http://[fd00:96::40]", REQUESTS);
  assertEquals([six.pods, six.clients], [PODS, new Set(ground.pods.map((pod) => pod.gateway))]);
  const four = await whoAnswered(namespace, "http://10.96.0.40", REQUESTS);
  assertEquals([four.pods, four.clients], [PODS, new Set(["64:ff9b:1::a01:102"])]);
  await daemon.stop();
}

async function ecmp(ground: Ground): Promise<void> {
  const agents = await serveIdentity(ground, WHO_PORT);
  await using spread = await spreadOverNodes(ground, "198.51.100.0/24");
  await using first = await startExample(ground, "ecmp.yaml");
  const other = { node: spread.node, directory: ground.directory };
  await using second = await startExample(other, "ecmp.yaml", { socket: `${ground.directory}/ku2.sock` });
  const ask = async () => {
    const answers: { pod: string; node: 1 | 2 }[] = [];
    for (let port = 20_000; port < 20_000 + REQUESTS; port++) {
      const from = agents.of(ground.client);
      const { pod, address } = await askUdp(from, ["198.51.100.10", 53], { bind: ["", port] });
      // Pods see the node that asked.
      answers.push({ pod, node: address.startsWith("10.2.") ? 1 : 2 });
    }
    return answers;
  };
  const both = await ask();
  assertEquals(new Set(both.map(({ node }) => node)), new Set([1, 2]), "flows go by both nodes");
  assertEquals(new Set(both.map(({ pod }) => pod)), PODS);
  const web = await whoAnswered(ground.client.namespace, "http://198.51.100.10", REQUESTS);
  assertEquals(web.pods, PODS);
  await spread.only("first");
  assertEquals(
    await ask(),
    both.map(({ pod }) => ({ pod, node: 1 })),
    "the same pods by the first node alone",
  );
  await spread.only("second");
  await first.stop();
  assertEquals(
    await ask(),
    both.map(({ pod }) => ({ pod, node: 2 })),
    "the same pods by the second node alone",
  );
  assertEquals((await whoAnswered(ground.client.namespace, "http://198.51.100.10", REQUESTS)).pods, PODS);
  await second.stop();
}

async function everyKey(ground: Ground): Promise<void> {
  await renameInterface(ground, ground.client, "eth0");
  await renameInterface(ground, ground.pods[0], "veth1");
  await addAddresses(ground, ground.pods[0], "10.244.0.7", "10.244.0.8", "fd00:244::7", "fd00:244::8");
  await using daemon = await startExample(ground, "ku.yaml");
  const { namespace, gateway } = ground.client;
  for (const host of ["10.96.0.20", "[fd00:96::20]", `${gateway}:30080`]) {
    assertEquals((await whoAnswered(namespace, `http://${host}`, 4)).pods, new Set(["pod1"]), host);
  }
  const { code, text } = await daemon.run("diff", "-f", `${EXAMPLES}ku.yaml`);
  assertEquals([code, text], [0, ""], "what runs is what the file says");
  await daemon.stop();
}

async function commands(ground: Ground): Promise<void> {
  await addAddresses(ground, ground.pods[0], "10.244.0.7");
  await addAddresses(ground, ground.pods[1], "10.244.0.8", "10.244.0.9");
  await using daemon = await Daemon.start(ground, { words: ["--interface", "uplink"] });
  for (const pod of ground.pods) await daemon.ku(`set interface nat4 in ${pod.nodeInterface}`);
  const { code, text, stderr } = await daemon.run("exec", "--atomic", `${EXAMPLES}services.ku`);
  assertEquals([code, stderr], [0, ""]);
  for (const word of ["90.0.0.0/8", "2002::/16", "10.244.0.9"]) assertStringIncludes(text, word);
  const { pods } = await whoAnswered(ground.client.namespace, "http://10.96.0.20", REQUESTS);
  assertEquals(pods, new Set(["pod1", "pod2"]));
  const { pods: served } = await daemon.vip(80);
  assertEquals(served.find(({ address }) => address === "10.244.0.9")?.sessions, 0, "weight 0");
  await daemon.stop();
}

async function kubernetes(ground: Ground): Promise<void> {
  await addAddresses(ground, ground.pods[0], "10.244.1.7", "fd00:244:1::7");
  await using daemon = await Daemon.start(ground, { words: ["--interface", "uplink"] });
  for (const family of ["nat4", "nat6"]) await daemon.ku(`set interface ${family} in pod1`);
  const words = ["import", "-f", `${EXAMPLES}kubernetes/services.yaml`, "--node", "worker-1"];
  const { code, text, stderr } = await daemon.run(...words);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(text, /^\d+ added, 0 changed, 0 removed, \d+ unchanged$/m);
  for (const host of ["10.96.0.20", "[fd00:96::20]"]) {
    const { pods } = await whoAnswered(ground.client.namespace, `http://${host}`, 4);
    assertEquals(pods, new Set(["pod1"]), host);
  }
  await daemon.stop();
}

interface Container {
  command: string[];
  securityContext: { capabilities: { add: string[] } };
}

/** What the container's runtime does, by hand (`shift` takes the word "run", which is in the container's command): a root and /proc/sys to read alone, the capabilities, no new privileges. */
async function daemonSet(ground: Ground): Promise<void> {
  const [map, set] = loadAll(await Deno.readTextFile(`${EXAMPLES}kubernetes/daemonset.yaml`)) as [
    { data: { "ku.yaml": string } },
    { spec: { template: { spec: { containers: Container[] } } } },
  ];
  const [{ command, securityContext }] = set.spec.template.spec.containers;
  await renameInterface(ground, ground.client, "eth0");
  const { directory } = ground;
  for (const folder of ["etc", "state"]) await Deno.mkdir(`${directory}/${folder}`);
  await Deno.writeTextFile(`${directory}/etc/ku.yaml`, map.data["ku.yaml"]);
  const places = {
    "/etc/ku/": `${directory}/etc/`,
    "/var/lib/ku": `${directory}/state`,
    "/usr/local/bin/ku": KU,
  };
  const script = Object.entries(places).reduce((text, [from, to]) => text.replaceAll(from, to), command[2]);
  const capabilities = ["-all", ...securityContext.capabilities.add.map((name) => `+${name.toLowerCase()}`)]
    .join(",");
  const container = [
    "mount --make-rprivate /",
    'mount --bind "$0" "$0"',
    "mount -o remount,bind,ro /",
    "mount --bind /proc/sys /proc/sys",
    "mount -o remount,bind,ro /proc/sys",
    `exec setpriv --bounding-set=${capabilities} --inh-caps=${capabilities} --no-new-privs "$@"`,
  ].join(" && ");
  const before = [
    "unshare",
    "-m",
    "sh",
    "-ec",
    container,
    directory,
    ...command.slice(0, 2),
    `shift; ${script} "$@"`,
  ];
  await using daemon = await Daemon.start(ground, { before, binary: "ku" });
  const ready = async () => {
    const check = await ground.node.run([
      "curl",
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "http://127.0.0.1:9753/readyz",
    ]);
    return check.text === "200";
  };
  await until("/readyz", ready);
  for (const pod of ground.pods) await daemon.ku(`set interface nat4 in ${pod.nodeInterface}`);
  await daemon.apply(
    "vip 10.96.0.10 protocol tcp port 80 target_port 8080",
    `pod 10.96.0.10 ${ground.pods.map((pod) => pod.address).join(" ")}`,
  );
  assertEquals((await whoAnswered(ground.client.namespace, "http://10.96.0.10", REQUESTS)).pods, PODS);
  await until(
    "the saved state",
    async () => (await Deno.readTextFile(`${directory}/state/ku.json`)).includes("10.96.0.10"),
  );
  await daemon.end("SIGTERM");
}

/** No container is built here: what it copies is there, and wants no library that a Debian without packages has not. */
async function containerfile(): Promise<void> {
  const text = await Deno.readTextFile(`${EXAMPLES}kubernetes/Containerfile`);
  assertMatch(text, /^FROM debian:12-slim\nCOPY dist\/ku \/usr\/local\/bin\/ku\n/m);
  const wants = (await runOk(["ldd", KU])).trimEnd().split("\n").map((line) => line.trim().split(/[ /]/)[0]);
  const basic = [
    "linux-vdso.so.1",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libm.so.6",
    "libdl.so.2",
    "libc.so.6",
    "librt.so.1",
  ];
  assertEquals(wants.filter((name) => name !== "" && !basic.includes(name)), []);
}

const left = async () =>
  (await runOk(["ip", "netns", "list"])).split("\n").filter((line) => line.startsWith("ku-ci-"));

async function namespaces(): Promise<void> {
  const script = `${EXAMPLES}ci/namespaces.sh`;
  const check = await run(["shellcheck", script]);
  assertEquals([check.code, check.text], [0, ""]);
  const { code, stderr } = await run([script], { timeoutMs: 10_000 });
  assertEquals([code, /usage: namespaces\.sh/.test(stderr)], [2, true]);
  assertEquals(await left(), []);
}

/** Its steps as they stand there, `sudo` apart: this is root. */
async function workflow(ground: Ground): Promise<void> {
  const text = await Deno.readTextFile(`${EXAMPLES}ci/workflow.yaml`);
  const { jobs } = load(text) as { jobs: { namespaces: { steps: { uses?: string; run?: string }[] } } };
  const [checkout, build, ...steps] = jobs.namespaces.steps;
  assertEquals([checkout.uses, build.run], ["actions/checkout@v4", "npx -y deno@2.4.2 task compile"]);
  await Deno.writeTextFile(`${ground.directory}/sudo`, '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
  const env = { PATH: `${ground.directory}:${Deno.env.get("PATH")}` };
  assert(steps.length >= 2);
  for (const { run: line } of steps) {
    const command = line!.replaceAll("dist/ku", KU);
    await runOk(["sh", "-ec", command], { cwd: `${EXAMPLES}..`, env, timeoutMs: 120_000 });
  }
  assertEquals(await left(), []);
}

async function demo(): Promise<void> {
  const { code, text } = await run([
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    "--lock=deno.lock",
    "--frozen",
    "examples/demo.ts",
  ], { cwd: `${EXAMPLES}..`, timeoutMs: 120_000 });
  assertEquals(code, 0, text);
  assertStringIncludes(text, "All of it as it should be.");
}

async function demoConfiguration(ground: Ground): Promise<void> {
  await using daemon = await startExample(ground, "demo.yaml");
  assertEquals((await whoAnswered(ground.client.namespace, "http://10.96.0.10", REQUESTS)).pods, PODS);
  await daemon.stop();
}
