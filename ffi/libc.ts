/*
 * glibc, as far as ku calls it. Each parameter carries its C declaration.
 *
 * NB: a `usize` takes a BigInt made beforehand: with a number the call leaves V8's fast path (500 ns for a system call
 * that takes 265). `isize` results are declared `i32` where the value is a count below 2 GiB or -1, so that no BigInt
 * is made for them.
 *
 * References: the manual pages of the functions, sections 2 and 3.
 */

const library = Deno.dlopen("libc.so.6", {
  socket: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
    ],
    result: "i32",
  },
  bind: {
    parameters: [
      "i32", // int fd
      "buffer", // const struct sockaddr *socketAddress
      "u32", // socklen_t length
    ],
    result: "i32",
  },
  setsockopt: {
    parameters: [
      "i32", // int fd
      "i32", // int level
      "i32", // int name
      "buffer", // const void *value
      "u32", // socklen_t length
    ],
    result: "i32",
  },
  getsockopt: {
    parameters: [
      "i32", // int fd
      "i32", // int level
      "i32", // int name
      "buffer", // void *value
      "buffer", // socklen_t *length
    ],
    result: "i32",
  },
  send: {
    parameters: [
      "i32", // int fd
      "pointer", // const void *data
      "usize", // size_t length
      "i32", // int flags
    ],
    result: "i32", // ssize_t
  },
  poll: {
    parameters: [
      "buffer", // struct pollfd *fds
      "usize", // nfds_t count
      "i32", // int timeout (ms)
    ],
    result: "i32",
  },
  /** poll on a thread of the runtime's pool: resolves when it returns. errno is that thread's, out of reach. */
  poll_async: {
    name: "poll",
    parameters: [
      "buffer", // struct pollfd *fds
      "usize", // nfds_t count
      "i32", // int timeout (ms)
    ],
    result: "i32",
    nonblocking: true,
  },
  ioctl: {
    parameters: [
      "i32", // int fd
      "usize", // unsigned long request
      "buffer", // ... (a pointer, for every request used here)
    ],
    result: "i32",
  },
  eventfd: {
    parameters: [
      "u32", // unsigned int initial
      "i32", // int flags
    ],
    result: "i32",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *data
      "usize", // size_t length
    ],
    result: "i32", // ssize_t
  },
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *data
      "usize", // size_t length
    ],
    result: "i32", // ssize_t
  },
  close: {
    parameters: ["i32"], // int fd
    result: "i32",
  },
  memfd_create: {
    parameters: [
      "buffer", // const char *name
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  mmap: {
    parameters: [
      "pointer", // void *at
      "usize", // size_t length
      "i32", // int protection
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "pointer",
  },
  munmap: {
    parameters: [
      "pointer", // void *at
      "usize", // size_t length
    ],
    result: "i32",
  },
  madvise: {
    parameters: [
      "pointer", // void *at
      "usize", // size_t length
      "i32", // int advice
    ],
    result: "i32",
  },
  setrlimit: {
    parameters: [
      "i32", // __rlimit_resource_t resource
      "buffer", // const struct rlimit *limit
    ],
    result: "i32",
  },
  sched_setaffinity: {
    parameters: [
      "i32", // pid_t thread; 0 = the calling one
      "usize", // size_t bytes of the set
      "buffer", // const cpu_set_t *set
    ],
    result: "i32",
  },
  clock_gettime: {
    parameters: [
      "i32", // clockid_t clock
      "buffer", // struct timespec *time
    ],
    result: "i32",
  },
  getpid: {
    parameters: [], // void
    result: "i32",
  },
  if_nametoindex: {
    parameters: ["buffer"], // const char *name
    result: "u32",
  },
  if_indextoname: {
    parameters: [
      "u32", // unsigned int index
      "buffer", // char *name (IF_NAMESIZE bytes)
    ],
    result: "pointer",
  },
});

/** The functions themselves. */
export const libc = library.symbols;

// socket(2), asm-generic/socket.h
export const AF_INET = 2;
export const AF_XDP = 44;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_RCVBUF = 8;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const MSG_DONTWAIT = 0x40;
// poll(2)
export const POLLIN = 0x1;
export const POLLERR = 0x8;
// eventfd(2), memfd_create(2)
export const EFD_NONBLOCK = 0x800;
export const EFD_CLOEXEC = 0x80000;
export const MFD_CLOEXEC = 1;
// mmap(2), madvise(2)
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_ANONYMOUS = 0x20;
export const MADV_HUGEPAGE = 14;
export const MADV_POPULATE_WRITE = 23; // Linux 5.14
// setrlimit(2)
export const RLIMIT_MEMLOCK = 8;
// clock_gettime(2)
export const CLOCK_MONOTONIC_COARSE = 6;
// if_nametoindex(3)
export const IF_NAMESIZE = 16;
