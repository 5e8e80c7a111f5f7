/*
 * Runs inside of the node's namespace that steering_test.ts made: one scenario, named by the first argument, with the
 * steering programs and AF_XDP sockets of mod/xdp and steering_rings.ts in the place of the worker. Exits 0 when all
 * is as it should be.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../ffi/errno.ts";
import { driverOf } from "../../ffi/ethtool.ts";
import { interfaceIndex, interfaceName, listInterfaces } from "../../ffi/if.ts";
import { openLibrary } from "../../ffi/library.ts";
import { cString } from "../../ffi/memory.ts";
import { attachClsact, detachOwnClsact, queryClsact } from "../../mod/xdp/clsact_hook.ts";
import { XskSocket } from "../../mod/xdp/socket.ts";
import { ownProgramsOn, Steering, type SteeringMode } from "../../mod/xdp/steering.ts";
import { nodePortAddress } from "../../mod/xdp/steering_keys.ts";
import { detachOwnTcx } from "../../mod/xdp/tcx_hook.ts";
import { Umem } from "../../mod/xdp/umem.ts";
import {
  ALL,
  client,
  ip,
  keyOf,
  linkOf,
  NODE,
  offloadsOf,
  pings,
  run,
  setUp,
  SLOT,
  UPLINK,
} from "./steering_rings.ts";
import { repeatsAlike } from "./offload_verdicts.ts";
import { decidesAlike } from "./steering_verdicts.ts";

async function steersAndGivesBack(
  mode: SteeringMode,
  hook: "as the kernel has it" | "clsact",
): Promise<void> {
  const { steering, rings, link } = await setUp(mode);
  if (hook === "clsact") {
    for (const [name, program] of [[UPLINK, "ku_tc"], ["ku0", "ku_host"]] as const) {
      moveToClsact(steering, name, program);
    }
  }
  const viaRing = async (address: string, handle: (at: number, length: number) => void) => {
    const [answered, packets] = await rings.pump(pings(address), handle);
    assert(packets > 0, `${mode}: nothing arrived`);
    return answered;
  };
  assert(!await viaRing("10.77.0.1", () => {}), "taken, and not answered by anybody else");

  const slotMac = Uint8Array.of(2, 0x6b, 0x75, 0, SLOT >> 8, SLOT & 0xff);
  const answered = await viaRing("10.77.0.1", (at, length) => {
    const destination = rings.umem.bytes.slice(at, at + 6);
    assertEquals(destination, mode === "tc" ? slotMac : link.mac, "the destination names the slot");
    rings.setDestination(at, link.mac);
    rings.answerEcho(at);
    rings.send(rings.port, at, length);
  });
  assert(answered, "answered by the interface's own socket");

  assert(
    await viaRing("10.77.0.1", (at, length) => {
      rings.setDestination(at, link.mac);
      rings.answerEcho(at);
      rings.send(rings.host, rings.tag(at, SLOT | 0x2000), length + 4);
    }),
    "answered by way of ku0, which sends what is tagged so out of the interface",
  );
  for (const address of ["10.77.0.1", "fd77::1"]) {
    const [answered, packets] = await rings.pump(pings(address), (at, length) => {
      rings.setDestination(at, link.mac);
      rings.send(rings.host, rings.tag(at, SLOT), length + 4);
    });
    assert(answered, `${address}: given back as if it had just come in, the kernel answers`);
    assertEquals(packets, 1, "and it is not taken a second time");
  }
  assert(
    await viaRing("10.77.0.1", (at, length) => {
      rings.setDestination(at, Uint8Array.of(2, 0x6b, 0x75, 0, 0, 0));
      rings.send(rings.host, at, length);
    }),
    "given to the kernel on ku0",
  );

  const [bystander, packets] = await rings.pump(pings("10.77.0.3"), () => {});
  assert(bystander && packets === 0, "what is not ku's passes");
  steering.match.replaceAll([]);
  const [after, taken] = await rings.pump(pings(), () => {});
  assert(after && taken === 0, "removed keys are not taken");
  steering.match.replaceAll([NODE]);
  rings.close();
  assert(await pings(), "without sockets everything passes again");
  steering.detachAll();
  assertEquals([UPLINK, "ku0", "ku1"].flatMap((name) => ownProgramsOn(interfaceIndex(name))), []);
  steering.close();
}

/** Puts the program where an older kernel would have it. */
function moveToClsact(steering: Steering, name: string, program: "ku_tc" | "ku_host"): void {
  const link = { name, index: interfaceIndex(name) };
  attachClsact(link, steering.programFd(program));
  detachOwnTcx(link.index);
  assert(queryClsact(link.index) === program, name);
}

async function matchesFragmentsAndPrefixes(): Promise<void> {
  const { steering, rings } = await setUp("tc");
  const count = async (address: string, ...options: string[]) =>
    (await rings.pump(pings(address, ...options), () => {}))[1];
  const big = ["-s", "4000", "-M", "dont"];
  assertEquals(await count("10.77.0.1", ...big), 3, "all fragments");
  assertEquals(await count("fd77::1", "-s", "4000"), 3, "of IPv6 too");
  steering.match.replaceAll([keyOf("10.77.0.1", { protocol: 6, port: 80 })]);
  assertEquals(await count("10.77.0.1"), 1, "echo requests to a service's address");
  steering.match.replaceAll([keyOf("10.77.0.0", ALL, 30), keyOf("fd77::", ALL, 126)]);
  assertEquals(await count("10.77.0.1"), 1, "a prefix");
  assertEquals(await count("10.77.0.3"), 1, "all of it");
  assertEquals(await count("fd77::1"), 1);
  assertEquals(await count("10.77.0.5"), 0, "and nothing beside it");
  steering.match.replaceAll([keyOf("10.77.0.0", { protocol: 6, port: 80 }, 30)]);
  assertEquals(await count("10.77.0.1"), 0, "echo requests to a prefix with a port are not ku's");
  assertEquals(await count("fd77::1"), 0);

  // What pods send back, on interfaces with `nat4 in` only.
  steering.match.replaceAll([]);
  steering.pods.replaceAll([keyOf("10.77.0.2", ALL), keyOf("fd77::2", ALL)]);
  assertEquals(await count("10.77.0.1"), 0, "not without the flag");
  steering.update(linkOf(UPLINK, { nat4: true }));
  assertEquals(await count("10.77.0.1"), 0, "not if it answers nobody");
  new Int32Array(steering.filter.buffer).fill(1); // the same counter for all, and it counts something
  assertEquals(await count("10.77.0.1"), 1, "a pod's packet");
  assertEquals(await count("fd77::1"), 0, "of the other family only with its own flag");
  steering.update(linkOf(UPLINK, { nat6: true }));
  assertEquals(await count("fd77::1"), 1);

  // Node ports: on the node's addresses only.
  steering.pods.replaceAll([]);
  const nodePort = { address: nodePortAddress(4), prefixLength: 255, protocol: 17, port: 30053 };
  steering.match.replaceAll([nodePort]);
  const datagram = async (port: number, bytes = 1) => {
    const text = `import socket; socket.socket(2, 2).sendto(b"x" * ${bytes}, ("10.77.0.1", ${port}))`;
    const sent = run("ip", "netns", "exec", client, "python3", "-c", text);
    return (await rings.pump(sent.then(() => new Promise((done) => setTimeout(done, 50))), () => {}))[1];
  };
  assertEquals(await datagram(30053), 0);
  steering.setLocals([NODE.address]);
  assertEquals(await datagram(30053), 1, "a node port");
  assertEquals(await datagram(30054), 0);
  assertEquals(await datagram(30054, 4000), 3, "fragments, which have no ports");
  steering.setLocals([]);
  assertEquals(await datagram(30053), 0);
  assertEquals(await datagram(30053, 4000), 0);
  rings.close();
  steering.close();
}

/** An XDP program that passes everything, called "stranger". */
function strangerProgram(): number {
  const { bpf_prog_load } = openLibrary("libbpf.so.1", {
    bpf_prog_load: {
      // enum bpf_prog_type, const char *name, const char *license, const struct bpf_insn *, size_t, opts
      parameters: ["i32", "buffer", "buffer", "buffer", "usize", "buffer"],
      result: "i32",
    },
  });
  const program = new Uint8Array(16);
  program.set([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95]); // r0 = XDP_PASS; exit
  const BPF_PROG_TYPE_XDP = 6;
  const fd = bpf_prog_load(BPF_PROG_TYPE_XDP, cString("stranger"), cString("GPL"), program, 2n, null);
  assert(fd >= 0);
  return fd;
}

async function leavesStrangersAlone(): Promise<void> {
  const { bpf_xdp_attach } = openLibrary("libbpf.so.1", {
    bpf_xdp_attach: { parameters: ["i32", "i32", "u32", "pointer"], result: "i32" },
  });
  const index = interfaceIndex(UPLINK);
  assertEquals(bpf_xdp_attach(index, strangerProgram(), 0, null), 0);
  await ip("link", "add", "ku0", "type", "veth", "peer", "name", "ku1");
  const steering = Steering.load();
  const error = assertThrows(() => steering.attach(linkOf(UPLINK), "native"), SystemError);
  assert(error.message.includes(`"stranger"`) && error.code === "EBUSY", error.message);
  assertThrows(() => steering.attach(linkOf(UPLINK), "generic"), SystemError, "stranger");
  assertEquals(steering.attachmentOf(index), null);
  assertEquals(steering.attach(linkOf(UPLINK), "auto").mode, "tc");
  const show = async (...args: string[]) => (await run(args[0], ...args.slice(1))).text;
  assert((await show("ip", "-d", "link", "show", UPLINK)).includes("stranger"), "both live");

  steering.detachAll();
  assertEquals(ownProgramsOn(index), []);
  await ip("link", "set", UPLINK, "xdp", "off");
  assertThrows(() => steering.attach({ ...linkOf("lo"), name: "lo" }, "tc"), Error, "Ethernet");
  assertThrows(() => steering.attach({ ...linkOf(UPLINK), name: "none" }, "tc"), SystemError, "ENODEV");
  steering.close();
}

async function adoptsAndSwitches(): Promise<void> {
  const index = interfaceIndex(UPLINK);
  const modes: SteeringMode[] = ["native", "tc", "generic", "native", "generic", "tc", "native"];
  // Behind ku_xdp, ku_tc takes what that lets pass: known packets whose way out takes skbs only, and in mode generic uncut ones.
  const programs = { native: ["ku_xdp", "ku_tc"], generic: ["ku_xdp", "ku_tc"], tc: ["ku_tc"], auto: [] };
  // The same process changes its mind …
  const one = Steering.load();
  for (const mode of modes) {
    one.attach(linkOf(UPLINK), mode);
    assertEquals(ownProgramsOn(index), programs[mode], mode);
    assert(await pings());
  }
  // … and others come after one that left everything behind.
  for (const mode of modes) {
    const next = Steering.load();
    next.attach(linkOf(UPLINK), mode);
    assertEquals(ownProgramsOn(index), programs[mode], mode);
    next.close();
  }
  const last = Steering.load();
  assertEquals(last.removeLeftovers(), [UPLINK]);
  assertEquals(ownProgramsOn(index), []);
  assert(!(await run("tc", "qdisc", "show", "dev", UPLINK)).text.includes("clsact"));
  last.close();
  one.close();
}

/** On a kernel without tcx; and a newer ku, or kernel, after such a one. */
async function usesClsact(): Promise<void> {
  const link = linkOf(UPLINK), { index } = link;
  const show = async (...args: string[]) => (await run("tc", ...args)).text;
  const hasQdisc = async () => (await show("qdisc", "show", "dev", UPLINK)).includes("clsact");
  const steering = Steering.load(), program = steering.programFd("ku_tc");

  assertEquals(attachClsact(link, program), true);
  assert((await show("filter", "show", "dev", UPLINK, "ingress")).includes("ku_tc"));
  assertEquals(attachClsact(link, program), true, "in its own place");
  assertEquals(ownProgramsOn(index), ["ku_tc"]);
  assertEquals(steering.attach(link, "tc").mode, "tc");
  assertEquals(ownProgramsOn(index), ["ku_tc"], "moved, not doubled");
  assertEquals(queryClsact(index), null);
  assert(!await hasQdisc(), "a qdisc of ku's own goes with it");
  steering.detachAll();
  assertEquals(ownProgramsOn(index), []);

  // Somebody else's filter, or qdisc, stays.
  assertEquals(attachClsact(link, program), true);
  await run("tc", "filter", "add", "dev", UPLINK, "egress", "prio", "9", "u32", "match", "u32", "0", "0");
  assert(detachOwnClsact(index, true));
  assert((await show("filter", "show", "dev", UPLINK, "egress")).includes("u32"));
  assert(await hasQdisc());
  await run("tc", "filter", "del", "dev", UPLINK, "egress");
  assertEquals(attachClsact(link, program), false, "there was one");
  assert(detachOwnClsact(index, false));
  assert(!detachOwnClsact(index, false), "once");
  assert(await hasQdisc());
  assertThrows(() => attachClsact({ name: "none", index: 999 }, program), SystemError, "ENODEV");
  steering.close();
}

/** Everything set up, one line printed, and then nothing more, until killed. */
async function holds(mode: SteeringMode): Promise<void> {
  await setUp(mode);
  console.log("holding");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}

async function survivesKill(mode: SteeringMode): Promise<void> {
  const args = ["run", "-A", "--config", new URL("../../deno.json", import.meta.url).pathname];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, import.meta.filename!, `holds-${mode}`, client],
    stdout: "piped",
  }).spawn();
  const { value } = await child.stdout.getReader().read();
  assertEquals(new TextDecoder().decode(value).trim(), "holding");
  assert(!await pings(), "taken");
  child.kill("SIGKILL");
  await child.status;
  assert(await pings(), "all passes to the kernel");
  assert(ownProgramsOn(interfaceIndex(UPLINK)).length > 0, "though what was attached is still there");
}

async function keepsOffloads(): Promise<void> {
  const before = await offloadsOf(client, "c0");
  const { steering, rings, link } = await setUp("auto");
  assertEquals(
    await offloadsOf(client, "c0"),
    before,
    "a transmit-only socket and tc leave the peer as it was",
  );
  assert(steering.attachmentOf(link.index)!.reason.includes("offload"));
  steering.attach(link, "native");
  assert(await offloadsOf(client, "c0") !== before, "native XDP does not: the reason for all this");
  rings.close();
  steering.detachAll();
  steering.close();
}

async function refusesBadSockets(): Promise<void> {
  const umem = Umem.create(64, 2048);
  const options = { queue: 0, receive: true, ringSize: 64, zeroCopy: true };
  const open = (change: object) => XskSocket.open(umem, { interfaceName: UPLINK, ...options, ...change });
  assertThrows(
    () => open({ interfaceName: "none" }),
    SystemError,
    `Cannot bind AF_XDP socket to "none" queue 0`,
  );
  assertThrows(() => open({ queue: 9 }), SystemError, "queue 9: EINVAL");
  const first = open({});
  const busy = assertThrows(() => open({}), SystemError, `"n0" queue 0: EBUSY`);
  assert(busy.message.includes("another AF_XDP socket"));
  assertEquals(first.zeroCopy, false);
  assertEquals(first.statistics(), { rxDropped: 0, rxRingFull: 0, fillRingEmpty: 0 });
  first.close();
  open({ receive: false }).close(); // free again
  await ip("link", "set", UPLINK, "down");
  const down = open({ receive: false });
  down.tx.write(0, 0, 64);
  down.tx.submit(1);
  assert(down.kick() !== 0, "a link that is down takes nothing");
  assertEquals(down.close(), [0], "and the frame comes back");
  umem.close();

  assertEquals(driverOf(UPLINK).driver, "veth");
  assertEquals(driverOf("none"), { driver: "", bus: "" });
  assertEquals(interfaceName(interfaceIndex(UPLINK)), UPLINK);
  assertEquals(interfaceName(99999), null);
  assert(listInterfaces().some(({ name }) => name === UPLINK));
}

const SCENARIOS: Record<string, () => Promise<void>> = {
  "steers-tc": () => steersAndGivesBack("tc", "as the kernel has it"),
  "steers-native": () => steersAndGivesBack("native", "as the kernel has it"),
  "steers-generic": () => steersAndGivesBack("generic", "as the kernel has it"),
  "steers-clsact": () => steersAndGivesBack("tc", "clsact"),
  "clsact": usesClsact,
  "verdicts": decidesAlike,
  "repeats": repeatsAlike,
  "matches": matchesFragmentsAndPrefixes,
  "strangers": leavesStrangersAlone,
  "adopts": adoptsAndSwitches,
  "holds-tc": () => holds("tc"),
  "holds-native": () => holds("native"),
  "kill-tc": () => survivesKill("tc"),
  "kill-native": () => survivesKill("native"),
  "offloads": keepsOffloads,
  "sockets": refusesBadSockets,
};

await SCENARIOS[Deno.args[0]]();
