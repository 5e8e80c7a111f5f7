/** HTTP between clients and pods: nginx in every pod with a prefix of its own, curl in the clients. */

import { TemporaryDirectory } from "./cleanup.ts";
import type { Ground, Host } from "./ground.ts";
import { Process, type RunResult, untilListening } from "./process.ts";
import { seededBytes, sha256 } from "./random.ts";
import { until } from "./wait.ts";
import type { Namespace } from "./namespace.ts";

/** One line of a pod's access log: what the pod itself saw. */
export interface LoggedRequest {
  clientAddress: string;
  clientPort: number;
  serverAddress: string;
  method: string;
  uri: string;
  status: number;
  /** Connections this pod had open when it finished the request. */
  openConnections: number;
}

function configuration(directory: string, name: string, port: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) =>
    `${kind}_temp_path ${directory}/temp/${kind};`
  );
  return `daemon off; user root; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log;
events { worker_connections 1024; }
http {
  ${temporary.join(" ")}
  log_format seen '$remote_addr $remote_port $server_addr $request_method $uri $status $connections_active';
  access_log ${directory}/access.log seen;
  sendfile on; default_type application/octet-stream; client_max_body_size 64m;
  server {
    listen ${port} backlog=1024; listen [::]:${port} ipv6only=on backlog=1024;
    root ${directory}/root;
    location = /who { default_type text/plain; return 200 "${name} $remote_addr $remote_port\\n"; }
    location /slow/ { alias ${directory}/root/; limit_rate 128k; }
    location /paced/ { alias ${directory}/root/; limit_rate 1m; }
    location /upload/ { dav_methods PUT; }
  }
}
`;
}

/** nginx in one pod: `/who` names the pod and the client it sees, `/blob` is a file of its own, `PUT /upload/x` keeps a file. */
export class WebServer {
  private constructor(readonly host: Host, readonly directory: string, readonly process: Process) {}

  static async start(ground: Ground, host: Host, port: number): Promise<WebServer> {
    const directory = `${ground.directory}/web-${host.name}-${port}`;
    await Deno.mkdir(`${directory}/root/upload`, { recursive: true });
    await Deno.mkdir(`${directory}/temp`);
    await Deno.writeTextFile(`${directory}/nginx.conf`, configuration(directory, host.name, port));
    const command = ["nginx", "-e", "stderr", "-p", directory, "-c", `${directory}/nginx.conf`];
    const process = ground.stack.use(host.namespace.start(`nginx of ${host.name}`, command));
    await untilListening(process.pid, "tcp", port);
    return new WebServer(host, directory, process);
  }

  /** Puts a file of `lengthBytes` there and returns its SHA-256. */
  async addBlob(name: string, seed: number, lengthBytes: number): Promise<string> {
    const bytes = seededBytes(seed, lengthBytes);
    await Deno.writeFile(`${this.directory}/root/${name}`, bytes);
    return await sha256(bytes);
  }

  /** What was uploaded to `/upload/<name>`, or undefined when it is not here. */
  async uploaded(name: string): Promise<Uint8Array | undefined> {
    try {
      return await Deno.readFile(`${this.directory}/root/upload/${name}`);
    } catch {
      return undefined;
    }
  }

  /** The access log so far. A request is in it when nginx is through with it, which may be a moment after the client is. */
  async requests(): Promise<LoggedRequest[]> {
    const text = await Deno.readTextFile(`${this.directory}/access.log`);
    return text.split("\n").filter((line) => line !== "").map((line) => {
      const [clientAddress, clientPort, serverAddress, method, uri, status, open] = line.split(" ");
      return {
        clientAddress,
        clientPort: Number(clientPort),
        serverAddress,
        method,
        uri,
        status: Number(status),
        openConnections: Number(open),
      };
    });
  }
}

/** A web server in every pod. */
export function startWebServers(ground: Ground, port: number): Promise<WebServer[]> {
  return Promise.all(ground.pods.map((pod) => WebServer.start(ground, pod, port)));
}

/** All requests that the servers saw, once there are at least `count`. */
export async function requestsSeen(servers: readonly WebServer[], count: number): Promise<LoggedRequest[]> {
  return await until(`${count} requests in the servers' logs`, async () => {
    const all = (await Promise.all(servers.map((server) => server.requests()))).flat();
    return all.length >= count && all;
  });
}

export interface Fetched {
  body: Uint8Array;
  readonly text: string;
  status: number;
  /** The client's own port, as its kernel knows it. */
  localPort: number;
  elapsedMs: number;
}

const CURL = [
  "curl",
  "-sS",
  "--globoff",
  "--connect-timeout",
  "5",
  "--max-time",
  "30",
  "-H",
  "Connection: close",
];

/** One request on a connection of its own. Throws what curl says when it fails. */
export async function fetchUrl(from: Namespace, url: string, ...options: string[]): Promise<Fetched> {
  // By way of a file: what a program prints is decoded as text, which takes longer for megabytes than all of the rest.
  await using directory = await TemporaryDirectory.create();
  const file = `${directory.path}/body`;
  await Deno.writeFile(file, new Uint8Array(0));
  const own = options.includes("-o") ? [] : ["-o", file];
  const result = await tryFetch(from, url, ...own, ...options);
  if (result.code !== 0) throw new Error(`curl ${url}: exit ${result.code}: ${result.stderr.trim()}`);
  const [status, localPort] = (result.stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
  const body = await Deno.readFile(file);
  return {
    body,
    get text() {
      return new TextDecoder().decode(body);
    },
    status,
    localPort,
    elapsedMs: result.elapsedMs,
  };
}

/** As `fetchUrl`, leaving curl's exit code to the caller (7: refused or unreachable, 28: timed out, 56: reset). */
export function tryFetch(from: Namespace, url: string, ...options: string[]): Promise<RunResult> {
  return from.run([...CURL, "-w", "%{stderr}%{http_code} %{local_port}\n", ...options, url]);
}

/** `count` requests at the same time, each on a connection of its own; the bodies become files `<directory>/<n>`, n from 1. */
export async function fetchAtOnce(
  from: Namespace,
  url: string,
  count: number,
  directory: string,
): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  const result = await from.run([
    ...CURL.filter((word) => word !== "--globoff"),
    "--parallel",
    "--parallel-immediate",
    "--parallel-max",
    String(count),
    "--fail-early",
    "-o",
    `${directory}/#1`,
    `${url}?n=[1-${count}]`,
  ], { timeoutMs: 60_000 });
  if (result.code !== 0) {
    throw new Error(`curl, ${count} at once: exit ${result.code}: ${result.stderr.trim().slice(-500)}`);
  }
}
