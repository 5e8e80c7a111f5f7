/** The socket: who may open it, what becomes of clients that behave badly, and of other daemons. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConfigError } from "../../../mod/config/model.ts";
import { callDaemon, DaemonConnection, RpcError } from "../../../mod/control/rpc_client.ts";
import { type RpcServer, type RpcServerOptions, serveRpc } from "../../../mod/control/rpc_server.ts";
import { Random } from "../config/random.ts";

type ServeOptions = Partial<RpcServerOptions>;

/** Runs `body` with a server on a socket in a directory of its own. */
async function withServer(options: ServeOptions, body: (path: string, server: RpcServer) => Promise<void>) {
  const directory = await Deno.makeTempDir({ prefix: "ku-rpc-" });
  const path = `${directory}/run/ku.sock`;
  let server: RpcServer | undefined;
  try {
    server = await serveRpc({
      path,
      handlers: { version: (params) => params, show: () => "x".repeat(100_000) },
      ...options,
    });
    await body(path, server);
  } finally {
    server?.close();
    await server?.finished;
    await Deno.remove(directory, { recursive: true });
  }
}

/** Sends raw bytes, closes the sending side, gives all that comes back as lines. */
async function talk(path: string, bytes: Uint8Array | string): Promise<string[]> {
  const stream = await Deno.connect({ transport: "unix", path });
  try {
    const all = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    const writing = (async () => {
      for (let at = 0; at < all.length;) at += await stream.write(all.subarray(at));
      await stream.closeWrite();
    })();
    const decoder = new TextDecoder();
    const chunk = new Uint8Array(65536);
    let text = "";
    for (let count; (count = await stream.read(chunk)) !== null;) {
      text += decoder.decode(chunk.subarray(0, count), { stream: true });
    }
    await writing;
    return text.split("\n").slice(0, -1);
  } finally {
    stream.close();
  }
}

const request = (id: number, method = "version"): string =>
  JSON.stringify({ jsonrpc: "2.0", id, method }) + "\n";

Deno.test("serveRpc: the socket is 0600, its directory made 0755, and both the umask and the file are put back", async () => {
  const before = Deno.umask(0);
  try {
    await withServer({}, async (path, server) => {
      const { mode, isSocket } = await Deno.lstat(path);
      assertEquals([isSocket, (mode ?? 0) & 0o777], [true, 0o600]);
      assertEquals(((await Deno.stat(path.slice(0, -"/ku.sock".length))).mode ?? 0) & 0o777, 0o755);
      assertEquals(Deno.umask(0), 0);
      server.close();
      await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
    });
  } finally {
    Deno.umask(before);
  }
});

Deno.test("serveRpc answers many requests of one connection in order, also when they come in pieces", async () => {
  const handlers = {
    version: async (params: unknown) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
      return params;
    },
  };
  await withServer({ handlers }, async (path) => {
    const ids = Array.from({ length: 100 }, (_, index) => index);
    const lines = await talk(path, ids.map((id) => request(id)).join(""));
    assertEquals(lines.map((line) => JSON.parse(line).id), ids);
    // The last line needs no newline when the client has closed its side.
    assertEquals((await talk(path, request(5).trimEnd())).length, 1);
  });
});

Deno.test("serveRpc serves many clients at once", async () => {
  await withServer({}, async (path) => {
    const calls = Array.from({ length: 100 }, () => callDaemon(path, "show", {}));
    for (const result of await Promise.all(calls)) assertEquals(String(result).length, 100_000);
  });
});

Deno.test("serveRpc goes on after garbage, and closes a connection whose line is too long", async () => {
  await withServer({ maxLineBytes: 1000 }, async (path) => {
    const [first, second] = await talk(path, "\u0000garbage\n" + request(2));
    assertEquals([JSON.parse(first).error.code, JSON.parse(second).id], [-32700, 2]);
    const lines = await talk(path, request(1) + "x".repeat(1001));
    assertEquals([lines.length, JSON.parse(lines[1]).error.message], [2, "Line longer than 1000 bytes"]);
    assertEquals(await callDaemon(path, "version", {}).then(String), "[object Object]");
  });
});

Deno.test("serveRpc survives random bytes on the socket", async () => {
  await withServer({ maxLineBytes: 500 }, async (path) => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed);
      const bytes = random.bytes(random.below(1200)).map((byte) => byte < 8 ? 10 : byte);
      // The server may close before all is written: a broken pipe on our side is right, too.
      await talk(path, bytes).catch(() => []);
    }
    assertEquals((await talk(path, request(1))).length, 1);
  });
});

Deno.test("serveRpc gives up a client that does not read, and the others notice nothing", async () => {
  const big = () => "x".repeat(4_000_000);
  await withServer(
    { handlers: { show: big, version: () => 1 }, writeTimeoutMs: 200 },
    async (path, server) => {
      const slow = await Deno.connect({ transport: "unix", path });
      await slow.write(new TextEncoder().encode(request(1, "show")));
      assertEquals((await talk(path, request(2))).length, 1);
      await new Promise((resolve) => setTimeout(resolve, 400));
      // Closing the server does not wait for the slow one, which still holds its end open.
      server.close();
      await server.finished;
      slow.close();
    },
  );
});

Deno.test("serveRpc closes what is over the number of clients, and has room again afterwards", async () => {
  await withServer({ maxClients: 2 }, async (path) => {
    const held = await Promise.all([1, 2].map(() => DaemonConnection.connect(path)));
    for (const connection of held) await connection.call("version", {});
    await assertRejects(() => callDaemon(path, "version", {}), ConfigError, "did not answer");
    held[0].close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await callDaemon(path, "version", {});
    held[1].close();
  });
});

Deno.test("serveRpc replaces a dead daemon's socket and refuses to replace a living one's", async () => {
  await withServer({}, async (path) => {
    await assertRejects(() => serveRpc({ path, handlers: {} }), ConfigError, "a daemon is running there");
    await callDaemon(path, "version", {});
  });
  const directory = await Deno.makeTempDir({ prefix: "ku-rpc-" });
  try {
    const path = `${directory}/ku.sock`;
    // What a killed daemon leaves: the name of a socket nobody listens on.
    Deno.listen({ transport: "unix", path }).close();
    await assertRejects(
      () => callDaemon(path, "version", {}),
      ConfigError,
      `is not running: start it with "ku run"`,
    );
    const server = await serveRpc({ path, handlers: { version: () => 1 } });
    assertEquals(await callDaemon(path, "version", {}).then(Number), 1);
    server.close();
    await server.finished;
    await Deno.writeTextFile(path, "precious");
    await assertRejects(() => serveRpc({ path, handlers: {} }), ConfigError, "is a file but no socket");
    assertEquals(await Deno.readTextFile(path), "precious");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("of several daemons that start at once on a dead one's socket, one wins", async () => {
  const directory = await Deno.makeTempDir({ prefix: "ku-rpc-" });
  try {
    const path = `${directory}/ku.sock`;
    Deno.listen({ transport: "unix", path }).close();
    const starts = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => serveRpc({ path, handlers: { version: () => index } })),
    );
    const winners = starts.filter((start) => start.status === "fulfilled").map((start) => start.value);
    assertEquals(winners.length, 1);
    await callDaemon(path, "version", {});
    winners[0].close();
    await winners[0].finished;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("serveRpc does not remove a socket that is not its own any more", async () => {
  await withServer({}, async (path, server) => {
    await Deno.remove(path);
    const other = Deno.listen({ transport: "unix", path });
    server.close();
    assert((await Deno.lstat(path)).isSocket);
    other.close();
  });
});

Deno.test("serveRpc ends by its signal, and connections with it", async () => {
  const controller = new AbortController();
  await withServer({ signal: controller.signal }, async (path, server) => {
    const connection = await DaemonConnection.connect(path);
    await connection.call("version", {});
    controller.abort();
    await server.finished;
    await assertRejects(() => connection.call("version", {}), ConfigError, "did not answer");
    connection.close();
  });
});

Deno.test("callDaemon hands out the daemon's error with its code", async () => {
  const handlers = {
    vip: () => {
      throw new ConfigError("port", "70000", "give less");
    },
  };
  await withServer({ handlers }, async (path) => {
    const refused = await assertRejects(() => callDaemon(path, "vip", { prefix: "10.0.0.1" }), RpcError);
    assertEquals([refused.code, refused.message], [1, "port : 70000, give less"]);
    const missing = await assertRejects(() => callDaemon(path, "show", {}), RpcError);
    assertEquals(missing.code, -32601);
  });
});
