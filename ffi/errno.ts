/*
 * errno: numbers, names, and the error that setup code throws.
 *
 * glibc keeps errno per thread, and a Deno isolate (the main one, or a worker's) stays on one thread. So its address
 * is asked for once, and reading it is a plain load that no call can come between. NB: true for synchronous calls
 * only; a `nonblocking` one runs on another thread and leaves its errno there.
 *
 * References: errno(3), include/uapi/asm-generic/errno-base.h, errno.h (x86-64 and arm64 have the same numbers).
 */

const { symbols } = Deno.dlopen("libc.so.6", {
  __errno_location: { parameters: [], result: "pointer" }, // int *(void)
});

const location = symbols.__errno_location();
if (location === null) throw new Error("__errno_location returned NULL");
const cell = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4));

/** errno of this thread's last failed call. Meaningful only right after a call that reported a failure. */
export function lastErrno(): number {
  return cell[0];
}

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EAGAIN = 11;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const ENETDOWN = 100;
export const ENOBUFS = 105;

/** Name and meaning by number, of what the calls ku makes can return. */
const ERRORS: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or object"],
  3: ["ESRCH", "no such process or entry"],
  4: ["EINTR", "interrupted"],
  5: ["EIO", "input/output error"],
  6: ["ENXIO", "no such device or address"],
  7: ["E2BIG", "too big"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "try again"],
  12: ["ENOMEM", "out of memory"],
  13: ["EACCES", "permission denied"],
  14: ["EFAULT", "bad address"],
  16: ["EBUSY", "device or resource busy"],
  17: ["EEXIST", "exists already"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in the system"],
  24: ["EMFILE", "too many open files"],
  25: ["ENOTTY", "not supported by this device"],
  28: ["ENOSPC", "no space left"],
  32: ["EPIPE", "broken pipe"],
  33: ["EDOM", "out of domain"],
  34: ["ERANGE", "out of range"],
  38: ["ENOSYS", "not in this kernel"],
  75: ["EOVERFLOW", "value too large"],
  88: ["ENOTSOCK", "not a socket"],
  90: ["EMSGSIZE", "message too long"],
  92: ["ENOPROTOOPT", "no such option"],
  93: ["EPROTONOSUPPORT", "protocol not supported"],
  95: ["EOPNOTSUPP", "operation not supported"],
  97: ["EAFNOSUPPORT", "address family not supported"],
  98: ["EADDRINUSE", "address in use"],
  99: ["EADDRNOTAVAIL", "address not available"],
  100: ["ENETDOWN", "network is down"],
  101: ["ENETUNREACH", "network unreachable"],
  105: ["ENOBUFS", "no buffer space"],
  110: ["ETIMEDOUT", "timed out"],
  111: ["ECONNREFUSED", "connection refused"],
  113: ["EHOSTUNREACH", "host unreachable"],
  524: ["ENOTSUPP", "operation not supported"], // include/linux/errno.h: the kernel's own, yet BPF returns it
};

/** `EBUSY` for 16; `errno 133` for a number that has no name here. */
export function errnoName(errno: number): string {
  return ERRORS[errno]?.[0] ?? `errno ${errno}`;
}

/** What a call failed with, in one line: `Cannot bind an AF_XDP socket to "eth0" queue 3: EBUSY (…), stop …`. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** Errno's name. */
  readonly code: string;
  /** What the user can do; "" when nothing is known. */
  readonly advice: string;

  /**
   * `call`: what was attempted, as it follows "Cannot". `errno`: positive. `object`: on what. `remedy`: what the user
   * can do, as it follows a comma; for a missing privilege there is one by default.
   */
  constructor(readonly call: string, readonly errno: number, readonly object: string, readonly remedy = "") {
    const code = errnoName(errno);
    const meaning = ERRORS[errno]?.[1];
    const advice = remedy || (errno === EPERM ? "run ku as root" : "");
    super(
      `Cannot ${call} ${object}: ${code}${meaning ? ` (${meaning})` : ""}${advice ? `, ${advice}` : ""}`,
    );
    this.code = code;
    this.advice = advice;
  }
}

/** Returns `result`, or throws {@link SystemError} if it is negative: for functions that set errno. */
export function checkErrno(result: number, call: string, object: string, remedy = ""): number {
  if (result < 0) throw new SystemError(call, lastErrno(), object, remedy);
  return result;
}

/** The same for functions that return `-errno`, as libbpf's and libxdp's do. */
export function checkNegative(result: number, call: string, object: string, remedy = ""): number {
  if (result < 0) throw new SystemError(call, -result, object, remedy);
  return result;
}
