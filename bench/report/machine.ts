/** What the figures were taken on. */

async function firstLine(command: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
    return new TextDecoder().decode(stdout).split("\n")[0].trim();
  } catch {
    return "not there";
  }
}

function kernelText(path: string, key: string): string {
  const line = Deno.readTextFileSync(path).split("\n").find((line) => line.startsWith(key)) ?? "";
  return line.slice(line.indexOf(":") + 1).trim();
}

/** Rows of a table: what, value. */
export async function machine(): Promise<string[][]> {
  const virtual = kernelText("/proc/cpuinfo", "flags").includes("hypervisor") ? ", a virtual machine" : "";
  const processor = kernelText("/proc/cpuinfo", "model name");
  return [
    ["processor", `${processor}, ${navigator.hardwareConcurrency} logical${virtual}`],
    ["memory", kernelText("/proc/meminfo", "MemTotal")],
    ["kernel", await firstLine("uname", "-sr")],
    ["Deno, V8", `${Deno.version.deno}, ${Deno.version.v8}`],
    ["clang", await firstLine("clang", "--version")],
    ["nft", await firstLine("nft", "--version")],
    ["iptables", await firstLine("iptables", "--version")],
    ["written", new Date().toISOString().slice(0, 10)],
  ];
}
