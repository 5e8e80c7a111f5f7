/**
 * A thousand commands and events in random order, while clients send to all services and pods write down what arrives: no packet reaches
 * a pod that should not get it after the command returned (random_model.ts), and nothing is left over: sessions, entries of maps,
 * descriptors, memory.
 *
 *     client1…3 10.1.n.2 ── uplink…  node (ku)  pod1…pod4 ── 10.2.n.2 :7001…7006
 *     (and fd00:…)
 *
 * KU_TEST_SEED is another order, KU_TEST_OPERATIONS another number.
 */

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { parseLine } from "../../cli/exec.ts";
import { DaemonConnection, RpcError } from "../../mod/control/rpc_client.ts";
import { Random, TEST_SEED } from "../packets/random.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { requireGround } from "./harness/requirements.ts";
import { attachedDual } from "./harness/service.ts";
import { nowNs, TrafficClient, TrafficPod } from "./harness/traffic.ts";
import { until } from "./harness/wait.ts";
import { ServiceHistory } from "./random_model.ts";
import { isEmptyIndex, Resources, resourcesOf } from "./random_resources.ts";

const OPERATIONS = Number(Deno.env.get("KU_TEST_OPERATIONS") ?? 1000);
/** Operations between two looks at what is there, with the traffic held. */
const ROUND = 250;
const CLIENTS = 3, PODS = 4;
const PER_SECOND = 400;
const SERVICES = [1, 2, 3].flatMap((n): [string, number][] => [
  [`10.96.0.${n}`, 7000 + n],
  [`fd00:96::${n}`, 7003 + n],
]);
/** Above what the heaps of the daemon's three threads differ by from one collection to the next. */
const MEMORY_BOUND_BYTES = 32 * 1024 * 1024;

await requireGround();

for (const mode of MODES) {
  Deno.test(`${OPERATIONS} random operations under traffic, every interface ${mode}`, async () => {
    try {
      await randomOperations(mode);
    } catch (error) {
      if (error instanceof Error) error.message = `KU_TEST_SEED=${TEST_SEED}: ${error.message}`;
      throw error;
    }
  });
}

async function randomOperations(mode: Mode): Promise<void> {
  await using ground = await Ground.create({ clients: CLIENTS, pods: PODS });
  await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
  const connection = await DaemonConnection.connect(daemon.socket);
  try {
    const ports = SERVICES.map(([, port]) => port);
    const pods = ground.pods.map((host) => new TrafficPod(ground, host, ports));
    const clients = ground.clients.map((host, i) =>
      new TrafficClient(ground, host, SERVICES, TEST_SEED + i, PER_SECOND)
    );
    const run = new Run(mode, ground, connection, new Random(TEST_SEED));
    await run.begin();
    let before: Resources | null = null;
    for (let done = 0; done < OPERATIONS; done += ROUND) {
      for (const client of clients) await client.resume();
      for (let n = 0; n < Math.min(ROUND, OPERATIONS - done); n++) await run.step();
      await run.mend();
      const { hits } = await daemon.offload();
      await until("the kernel's share", async () => (await daemon.offload()).hits > hits + 100);
      for (const client of clients) await client.pause();
      await looksRight(run, daemon, clients);
      judge(run, ground, await Promise.all(pods.map((pod) => pod.arrivals())));
      before ??= await resourcesOf(daemon);
    }
    for (const client of clients) await client.close();
    await nothingLeft(run, daemon, before!);
    const counts = await Promise.all(clients.map((client) => client.counts()));
    const sum = (pick: keyof typeof counts[0]) => counts.reduce((total, each) => total + each[pick], 0);
    assertGreater(sum("answered"), sum("sent") / 4, "there was traffic");
    assertGreater(sum("echoed"), 100);
  } finally {
    connection.close();
  }
  assertEquals(complaints(daemon), []);
  await daemon.stop();
}

/** The operations, and what they come to. */
class Run {
  readonly services = SERVICES.map(([address, port]) => new ServiceHistory(address, port));
  readonly said: string[] = [];
  #offload = true;
  #sessions = 0;
  #routed = new Set<Host>();
  #detached = new Set<Host>();

  constructor(
    readonly mode: Mode,
    readonly ground: Ground,
    readonly connection: DaemonConnection,
    readonly random: Random,
  ) {}

  async begin(): Promise<void> {
    for (const service of this.services) {
      await this.#addService(service);
      for (const pod of this.ground.pods) await this.#setPod(service, pod, 1 + this.random.below(3));
    }
  }

  async step(): Promise<void> {
    const { random } = this;
    const service = random.pick(this.services);
    const pod = random.pick(this.ground.pods);
    const dice = random.below(100);
    if (dice < 3) await this.#link(random.pick([...this.ground.pods, ...this.ground.clients]));
    else if (dice < 6) await this.#route(pod);
    else if (dice < 9) await this.#interface(pod);
    else if (dice < 12) await this.#conf();
    else if (service.pods === null) await this.#addService(service);
    else if (dice < 16) await this.#deleteService(service);
    else if (dice < 21) await this.#flush(service);
    else if (dice < 24) await this.#refused(service, pod);
    else if (!service.pods.has(pod.name)) await this.#setPod(service, pod, random.below(4));
    else if (dice < 60) await this.#setPod(service, pod, random.below(4));
    else await this.#removePod(service, pod, random.below(3) === 0);
  }

  /** Brings back what an operation has taken for a while, so that everything is reachable. */
  async mend(): Promise<void> {
    for (const pod of this.#detached) await this.#interface(pod);
    for (const pod of this.#routed) await this.#route(pod);
    if (!this.#offload) await this.#switch();
    if (this.#sessions === 20) await this.#limit(20_000);
  }

  /** One command line; returns when it began and ended. */
  async ku(line: string) {
    this.said.push(line);
    const parsed = await parseLine(line);
    assert(parsed !== null && "command" in parsed, line);
    const { method, params } = parsed.command;
    const began = nowNs();
    await this.connection.call(method, params as never);
    return { began, ended: nowNs() };
  }

  async #addService(service: ServiceHistory): Promise<void> {
    // Before its first pod nothing arrives anywhere, so the moment does not matter.
    service.setPresent(true, await this.ku(`vip ${service.address} port ${service.port}`));
  }

  async #deleteService(service: ServiceHistory): Promise<void> {
    service.setPresent(false, await this.ku(`vip ${service.address} port ${service.port} del`));
  }

  async #setPod(service: ServiceHistory, pod: Host, weight: number): Promise<void> {
    if (service.pods!.get(pod.name) === weight) return;
    const line = `pod ${service.address} port ${service.port} ${addressOf(pod, service)} weight ${weight}`;
    service.setPod(pod.name, weight, await this.ku(line));
  }

  async #removePod(service: ServiceHistory, pod: Host, flush: boolean): Promise<void> {
    const line = `pod ${service.address} port ${service.port} ${addressOf(pod, service)} del`;
    const at = await this.ku(flush ? `${line} flush` : line);
    service.setPod(pod.name, null, at);
    if (flush) service.endSessions(pod.name, at);
  }

  async #flush(service: ServiceHistory): Promise<void> {
    service.endSessions(null, await this.ku(`flush vip ${service.address} port ${service.port}`));
  }

  /** What is wrong changes nothing. */
  async #refused(service: ServiceHistory, pod: Host): Promise<void> {
    const line = service.pods!.has(pod.name)
      ? `vip ${service.address} port ${service.port}`
      : `pod ${service.address} port ${service.port} ${addressOf(pod, service)} del`;
    try {
      await this.ku(line);
    } catch (error) {
      if (error instanceof RpcError) return;
      throw error;
    }
    throw new Error(`${line}: not refused`);
  }

  async #conf(): Promise<void> {
    const { random } = this;
    const dice = random.below(8);
    if (dice === 0) await this.ku(`conf buckets ${random.pick([1024, 2048, 4096])}`);
    else if (dice === 1) await this.#limit(random.pick([20, 10_000, 20_000]));
    else await this.#switch();
  }

  async #limit(sessions: number): Promise<void> {
    this.#sessions = sessions;
    await this.ku(`conf offload-sessions ${sessions}`);
  }

  async #switch(): Promise<void> {
    this.#offload = !this.#offload;
    await this.ku(`conf offload ${this.#offload ? "on" : "off"}`);
  }

  async #link(host: Host): Promise<void> {
    const { node } = this.ground;
    const { nodeInterface: name, gateway6 } = host;
    this.said.push(`(link ${name} down, up)`);
    this.#routed.delete(host); // they go with the link
    await node.ip(
      `link set ${name} down`,
      `link set ${name} up`,
      `addr replace ${gateway6}/64 dev ${name} nodad`,
    );
  }

  /** A route of its own to the pod, of another MTU, or none. */
  async #route(pod: Host): Promise<void> {
    const had = this.#routed.delete(pod);
    if (!had) this.#routed.add(pod);
    const { node } = this.ground;
    this.said.push(`(route to ${pod.name} ${had ? "del" : "add"})`);
    const what = `route ${had ? "del" : "replace"}`;
    const way = `dev ${pod.nodeInterface} mtu 1400`;
    await node.ip(`${what} ${pod.address}/32 ${way}`, `${what} ${pod.address6}/128 ${way}`);
  }

  async #interface(pod: Host): Promise<void> {
    if (this.#detached.delete(pod)) {
      await this.ku(`interface ${pod.nodeInterface} mode ${this.mode}`);
      for (const family of [4, 6]) await this.ku(`set interface nat${family} in ${pod.nodeInterface}`);
    } else {
      this.#detached.add(pod);
      await this.ku(`interface ${pod.nodeInterface} del`);
    }
  }
}

function addressOf(pod: Host, { address }: ServiceHistory): string {
  return address.includes(":") ? pod.address6 : pod.address;
}

/** Every service with a pod that takes new flows answers, and the numbers that ku shows agree with one another. */
async function looksRight(run: Run, daemon: Daemon, clients: TrafficClient[]): Promise<void> {
  for (const { address, port, pods } of run.services) {
    if (pods === null || ![...pods.values()].some((weight) => weight > 0)) continue;
    for (const client of clients) {
      const last = run.said.slice(-10).join("; ");
      await until(`an answer of ${address} port ${port}, after ${last}`, () => client.probe(address, port));
    }
  }
  await until("as many sessions in the kernel as it says", async () => {
    const { used } = await daemon.offload();
    const sessions = await daemon.sessions();
    return used === sessions.filter(({ kernel }) => kernel !== null).length;
  });
  assert(daemon.process.running, "the daemon lives");
}

function judge(run: Run, ground: Ground, arrivals: Awaited<ReturnType<TrafficPod["arrivals"]>>[]): void {
  const byPort = new Map(run.services.map((service) => [service.port, service]));
  const wrong: string[] = [];
  ground.pods.forEach(({ name }, i) => {
    for (const arrival of arrivals[i]) {
      const reason = byPort.get(arrival[1])!.judge(name, arrival);
      if (reason !== null) wrong.push(`${name} ${JSON.stringify(arrival)}: ${reason}`);
    }
  });
  assertEquals(wrong.slice(0, 5), [], `${wrong.length} arrivals where they should not have been`);
}

async function nothingLeft(run: Run, daemon: Daemon, before: Resources): Promise<void> {
  await until("the end of all sessions", async () => {
    for (const { address, port, pods } of run.services) {
      if (pods !== null) await run.ku(`flush vip ${address} port ${port}`);
    }
    // What was under way when the clients closed their sockets may have begun one.
    return (await daemon.sessions()).length === 0;
  });
  assertEquals((await daemon.offload()).used, 0);
  assert(await isEmptyIndex(daemon), "no word of the kernel's index is left");
  const after = await resourcesOf(daemon);
  assertEquals([after.descriptors, after.maps], [before.descriptors, before.maps]);
  assertLess(after.memoryBytes, before.memoryBytes + MEMORY_BOUND_BYTES);
}

/** Lines of the daemon's log above a warning. */
function complaints(daemon: Daemon): string[] {
  const lines = (daemon.process.stdout + daemon.process.stderr).split("\n");
  return lines.filter((line) => line !== "" && !/^(info|warn|debug) /.test(line));
}
