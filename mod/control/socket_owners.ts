/** Whose a Unix socket is, from /proc (proc(5), proc_pid_fd(5)). */

/**
 * The processes that hold a socket of this abstract name ("\0…", unix(7)) in this network namespace; those of another PID namespace are
 * not seen.
 */
export async function ownersOf(name: string): Promise<number[]> {
  const inodes = inodesOf(await Deno.readTextFile("/proc/self/net/unix"), name);
  const owners: number[] = [];
  for await (const { name: pid } of Deno.readDir("/proc")) {
    if (/^\d+$/.test(pid) && await holdsOne(pid, inodes)) owners.push(Number(pid));
  }
  return owners;
}

/** The inodes of the sockets that `table` (/proc/net/unix) lists under an abstract name, which it writes with "@" for the zero byte. */
export function inodesOf(table: string, name: string): Set<string> {
  const path = name.replaceAll("\0", "@");
  const fields = table.split("\n").map((line) => line.trim().split(/\s+/));
  return new Set(fields.filter((line) => line[7] === path).map((line) => line[6]));
}

async function holdsOne(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  try {
    for await (const { name: fd } of Deno.readDir(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(await linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return true;
    }
  } catch {
    // It has ended meanwhile, or is not ours to look into.
  }
  return false;
}

/** Where a link leads; "" for one that has just gone: the others of its process still count. */
async function linkOf(path: string): Promise<string> {
  try {
    return await Deno.readLink(path);
  } catch {
    return "";
  }
}
