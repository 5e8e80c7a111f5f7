/*
 * Per-interface settings under /proc/sys/net, of the network namespace this process is in.
 *
 * References: Documentation/networking/ip-sysctl.rst.
 */

/** A setting's path; `interfaceName` may be "all" or "default". */
function path(family: "ipv4" | "ipv6", interfaceName: string, name: string): string {
  return `/proc/sys/net/${family}/conf/${interfaceName}/${name}`;
}

/** The number a setting holds; null when there is no such setting (no IPv6, no such interface). */
export function readInterfaceSysctl(
  family: "ipv4" | "ipv6",
  interfaceName: string,
  name: string,
): number | null {
  try {
    return Number(Deno.readTextFileSync(path(family, interfaceName, name)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Sets a number. Throws an Error that names the setting. */
export function writeInterfaceSysctl(
  family: "ipv4" | "ipv6",
  interfaceName: string,
  name: string,
  value: number,
): void {
  const file = path(family, interfaceName, name);
  try {
    Deno.writeTextFileSync(file, `${value}\n`, { create: false });
  } catch (error) {
    throw new Error(`Cannot set ${file} to ${value}: ${error instanceof Error ? error.message : error}`);
  }
}
