/*
 * The known path of nat44 (UDP and TCP of established sessions) in plain C: what mod/datapath/look_ahead4.ts and known4.ts do, on the very
 * same memory: the session table of mod/table/session_layout.ts, counters, adjacencies, routes and frames are those that the TypeScript
 * works on. Same checks, same order of writes; what comes out must be equal byte by byte (bench/micro/equal.ts compares).
 *
 * Two structures of it: `datapath_single` takes one packet after the other; `datapath_phases` takes each step for the whole burst, as the
 * TypeScript does. Where C has better means than TypeScript it uses them: prefetch instructions, byte-swapping loads, the compiler's vectors.
 *
 * References: RFC 791, 768, 9293, 1624 eqn. 3.
 */

#include <stdint.h>
#include <string.h>

enum { BURST = 64, ENTRY_WORDS = 12, HEADER_WORDS = 64, COLUMNS = 8, ADJ_STRIDE = 8, IF_STRIDE = 16 };
enum { HEADER_USED = 3, TIMEOUTS = 8, KEY = 16, GUESS_NONE = 44, FEW_SESSIONS = 2048, GUESS_REPLY = 1 << 30 };
enum { KIND, LAST_SEEN, SERVICE, POD, NOTE, OFFLOAD, ORIGINAL, REPLY = 9 };
enum { ADJ_OUT = 1, ADJ_MACS = 2, ADJ_MTU = 5, IF_NAT4_IN = 1, HOP_UNKNOWN = -9, ROOT4 = 256 };
enum { LIVE = 0x8000, ESTABLISHED = 2, STAMP_SHIFT = 8, TCP = 6, UDP = 17, MOVING_FLAGS = 0x07 };

/** Filled in by bench/micro/c.ts: eight bytes a field. */
struct datapath {
  uint8_t *frames;
  int32_t *sessions;
  double *service, *pod, *interface;
  double *completed; /* the node counter of half-done checksums */
  const int32_t *adjacencies, *interfaces, *routes;
  int32_t *pod_hops;
  int32_t *ats, *lengths, *slots, *out_slots;
  int64_t bucket_mask, line_mask, lines_at, index_mask, entries_at, stamp, now;
};

/** Of packets in and out by one interface, until another one comes. */
struct run {
  int32_t slot;
  uint32_t packets, bytes;
};

static inline uint16_t load16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, 2);
  return __builtin_bswap16(value);
}

static inline uint32_t load32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return __builtin_bswap32(value);
}

static inline void store16(uint8_t *at, uint16_t value) {
  value = __builtin_bswap16(value);
  memcpy(at, &value, 2);
}

static inline void store32(uint8_t *at, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(at, &value, 4);
}

static inline uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

static inline uint32_t halves(uint32_t word) {
  return (word >> 16) + (word & 0xffff);
}

/** keyedHash4 of mod/table/hash.ts; 0 for what is no IPv4. */
static inline uint32_t hash_tuple(const struct datapath *d, const uint8_t *frame, int32_t length) {
  if (length < 38 || load16(frame + 12) != 0x0800) return 0;
  const uint32_t *key = (const uint32_t *)d->sessions + KEY;
  uint32_t source = load32(frame + 26), destination = load32(frame + 30), ports = load32(frame + 34);
  uint32_t hash = key[0] * frame[23] + key[1] * (source & 0xffff) + key[2] * (source >> 16) +
    key[3] * (destination & 0xffff) + key[4] * (destination >> 16) + key[5] * (ports & 0xffff) + key[6] * (ports >> 16);
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
  return hash ^ (hash >> 16);
}

static inline uint32_t read_reply(const struct datapath *d, uint32_t hash, int32_t slot) {
  if ((d->interfaces[slot * IF_STRIDE] & IF_NAT4_IN) == 0) return 0;
  return d->sessions[d->lines_at + ((hash & d->line_mask) << 4) + (hash >> 28)];
}

/** From an index word to an entry, the reply tuple first. */
static inline int32_t guess_entry(const struct datapath *d, uint32_t hash, uint32_t tags, uint32_t slot) {
  const int32_t *words = d->sessions;
  for (uint32_t position = hash >> 28; slot != 0;) {
    if (((slot ^ hash) & ~(uint32_t)d->index_mask) == 0) {
      return (d->entries_at + ((slot & d->index_mask) - 1) * ENTRY_WORDS) | GUESS_REPLY;
    }
    position = (position + 1) & 15;
    if (position == hash >> 28) break;
    slot = words[d->lines_at + ((hash & d->line_mask) << 4) + position];
  }
  uint32_t difference = tags ^ (((hash >> 24) | 1) * 0x01010101u);
  uint32_t hits = (difference - 0x01010101u) & ~difference & 0x80808080u;
  if (hits == 0) return GUESS_NONE;
  uint32_t lane = __builtin_clz(hits) >> 3;
  return d->entries_at + (((hash & d->bucket_mask) << 2) | lane) * ENTRY_WORDS;
}

static inline int32_t lookup_route(const struct datapath *d, uint32_t address) {
  const int32_t *words = d->routes;
  int32_t word = words[ROOT4 + (address >> 24)];
  if (word >= 0) word = words[word + ((address >> 16) & 0xff)];
  if (word >= 0) word = words[word + ((address >> 8) & 0xff)];
  if (word >= 0) word = words[word + (address & 0xff)];
  return -3 - word;
}

/** A half-done checksum made whole. `pseudo`: sum of the pseudo-header. */
static void complete(const struct datapath *d, uint8_t *l4, uint32_t bytes, uint8_t *field, uint32_t pseudo, int udp) {
  memset(field, 0, 2);
  uint64_t sum = 0;
  uint32_t at = 0;
  for (; at + 4 <= bytes; at += 4) {
    uint32_t word;
    memcpy(&word, l4 + at, 4);
    sum += word;
  }
  uint32_t tail = 0;
  memcpy(&tail, l4 + at, bytes - at); /* the last bytes with zeros behind them, in the machine's order */
  sum += tail;
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
  uint32_t checksum = fold(pseudo + __builtin_bswap16(fold(sum))) ^ 0xffff;
  store16(field, checksum == 0 && udp ? 0xffff : checksum);
  (*d->completed)++;
}

static void count_received(const struct datapath *d, struct run run) {
  if (run.packets == 0) return;
  d->interface[run.slot * COLUMNS] += run.packets;
  d->interface[run.slot * COLUMNS + 1] += run.bytes;
}

static void count_sent(const struct datapath *d, struct run run) {
  if (run.packets == 0) return;
  d->interface[run.slot * COLUMNS + 2] += run.packets;
  d->interface[run.slot * COLUMNS + 3] += run.bytes;
}

/** One packet forwarded if it is the common case (known4.ts); 0, and nothing written, if not. */
static int forward(const struct datapath *d, int i, int32_t guess, struct run *in, struct run *out_run) {
  int32_t *words = d->sessions;
  uint8_t *frame = d->frames + d->ats[i];
  int32_t length = d->lengths[i];
  if (guess == GUESS_NONE || length < 42) return 0;
  uint32_t first = load32(frame + 14);
  int32_t total = first & 0xffff;
  if (load16(frame + 12) != 0x0800 || first >> 24 != 0x45 || total > length - 14 || (load16(frame + 20) & 0x3fff) != 0) return 0;

  /* The session, exactly. */
  int reply = (guess & GUESS_REPLY) != 0;
  int32_t *entry = words + (guess & ~GUESS_REPLY);
  uint32_t ttl_word = load32(frame + 22), protocol = (ttl_word >> 16) & 0xff;
  uint32_t source = load32(frame + 26), destination = load32(frame + 30), ports = load32(frame + 34);
  uint32_t kind = entry[KIND];
  const uint32_t *own = (const uint32_t *)entry + (reply ? REPLY : ORIGINAL);
  if (own[2] != ports || own[0] != source || own[1] != destination || kind >> 24 != protocol || (kind & LIVE) == 0 ||
      (uint32_t)entry[NOTE] >> STAMP_SHIFT != d->stamp) return 0;
  int32_t slot = d->slots[i];
  if (reply && (d->interfaces[slot * IF_STRIDE] & IF_NAT4_IN) == 0) return 0;

  /* The transport header. */
  int32_t l4_bytes = total - 20;
  uint8_t *field_at = frame + 40;
  int udp = protocol == UDP;
  if (udp) {
    int32_t udp_length = load16(frame + 38);
    if (udp_length < 8 || udp_length > l4_bytes) return 0;
    l4_bytes = udp_length;
  } else {
    if (protocol != TCP || l4_bytes < 20 || length < 54) return 0;
    uint32_t offset_and_flags = load16(frame + 46);
    int32_t header_bytes = (offset_and_flags >> 12) << 2;
    if (header_bytes < 20 || header_bytes > l4_bytes || (offset_and_flags & MOVING_FLAGS) != 0 ||
        ((kind >> 16) & 0xff) != ESTABLISHED) return 0;
    field_at = frame + 50;
  }

  /* The way out. */
  int32_t pod = entry[POD];
  const uint32_t *other = (const uint32_t *)entry + (reply ? ORIGINAL : REPLY);
  uint32_t new_destination = other[0];
  int32_t hop = reply ? lookup_route(d, new_destination) : d->pod_hops[pod];
  if (hop < 0) {
    if (reply || hop != HOP_UNKNOWN) return 0;
    hop = d->pod_hops[pod] = lookup_route(d, new_destination);
    if (hop < 0) return 0;
  }
  const int32_t *adjacency = d->adjacencies + hop * ADJ_STRIDE;
  int32_t out = adjacency[ADJ_OUT];
  if (out < 0 || total > adjacency[ADJ_MTU] || ttl_word >> 24 <= 1) return 0;

  /* From here on it is forwarded, unless the session has expired. */
  int32_t seen = entry[LAST_SEEN], now = d->now;
  if (seen != now) {
    if (now - seen > words[TIMEOUTS + ((kind >> 16) & 3)]) return 0;
    entry[LAST_SEEN] = now;
  }
  double *service_row = d->service + (uint32_t)entry[SERVICE] * COLUMNS, *pod_row = d->pod + pod * COLUMNS;
  if (!reply) {
    service_row[1]++;
    service_row[4] += total;
    pod_row[0]++;
    pod_row[1] += total;
  } else {
    service_row[5]++;
    service_row[6] += total;
    pod_row[2]++;
    pod_row[3] += total;
  }

  /* The new tuple, and what it does to the checksums (RFC 1624). */
  uint32_t new_source = other[1], new_ports = (other[2] << 16) | (other[2] >> 16);
  uint32_t before = halves(source) + halves(destination), after = halves(new_source) + halves(new_destination);
  uint32_t difference = 4 * 0xffff - before + after;
  uint32_t sum = fold(((ttl_word & 0xffff) ^ 0xffff) + difference - 0x100); /* one taken from the TTL */
  store32(frame + 22, ((ttl_word - 0x1000000) & ~0xffffu) | (sum ^ 0xffff));
  store32(frame + 26, new_source);
  store32(frame + 30, new_destination);
  store32(frame + 34, new_ports);
  uint32_t field = load16(field_at);
  if (field == fold(before + protocol + l4_bytes)) {
    complete(d, frame + 34, l4_bytes, field_at, after + protocol + l4_bytes, udp); /* it was half done */
  } else if (field != 0 || !udp) {
    uint32_t checksum = fold((field ^ 0xffff) + difference + 2 * 0xffff - halves(ports) + halves(new_ports)) ^ 0xffff;
    store16(field_at, checksum == 0 && udp ? 0xffff : checksum);
  }
  store32(frame, adjacency[ADJ_MACS]);
  store32(frame + 4, adjacency[ADJ_MACS + 1]);
  store32(frame + 8, adjacency[ADJ_MACS + 2]);
  d->out_slots[i] = out;

  if (slot != in->slot) {
    count_received(d, *in);
    *in = (struct run){ slot, 0, 0 };
  }
  if (out != out_run->slot) {
    count_sent(d, *out_run);
    *out_run = (struct run){ out, 0, 0 };
  }
  in->packets++;
  in->bytes += length;
  out_run->packets++;
  out_run->bytes += length;
  return 1;
}

/** The entry of the packet's tuple where the guess was a wrong one: two tags are alike once in some hundred flows. */
static int32_t find_entry(const struct datapath *d, const uint8_t *frame, int32_t length, int32_t slot) {
  if (length < 38) return GUESS_NONE;
  const uint32_t *words = (const uint32_t *)d->sessions;
  uint32_t hash = hash_tuple(d, frame, length);
  uint32_t tuple[3] = { load32(frame + 26), load32(frame + 30), load32(frame + 34) };
  if ((d->interfaces[slot * IF_STRIDE] & IF_NAT4_IN) != 0) {
    const uint32_t *line = words + d->lines_at + ((hash & d->line_mask) << 4);
    for (uint32_t i = 0, position = hash >> 28; i < 16 && line[position] != 0; i++, position = (position + 1) & 15) {
      if (((line[position] ^ hash) & ~(uint32_t)d->index_mask) != 0) continue;
      int32_t entry = d->entries_at + ((line[position] & d->index_mask) - 1) * ENTRY_WORDS;
      if (memcmp(words + entry + REPLY, tuple, sizeof tuple) == 0 && words[entry] >> 24 == frame[23]) return entry | GUESS_REPLY;
    }
  }
  for (uint32_t lane = 0; lane < 4; lane++) {
    int32_t entry = d->entries_at + (((hash & d->bucket_mask) << 2) | lane) * ENTRY_WORDS;
    if (memcmp(words + entry + ORIGINAL, tuple, sizeof tuple) == 0 && words[entry] >> 24 == frame[23]) return entry;
  }
  return GUESS_NONE;
}

/** `forward` by the guess, or else by what is found. */
static inline int take(const struct datapath *d, int i, int32_t guess, struct run *in, struct run *out) {
  if (__builtin_expect(forward(d, i, guess, in, out), 1)) return 1;
  return forward(d, i, find_entry(d, d->frames + d->ats[i], d->lengths[i], d->slots[i]), in, out);
}

/** Forwards packets 0 … of the burst, one after the other; returns the number of the first that is no common case, or `count`. */
int32_t datapath_single(const struct datapath *d, int32_t count) {
  struct run in = { -1, 0, 0 }, out = { -1, 0, 0 };
  int i = 0;
  for (; i < count; i++) {
    uint32_t hash = hash_tuple(d, d->frames + d->ats[i], d->lengths[i]);
    uint32_t tags = d->sessions[HEADER_WORDS + (hash & d->bucket_mask)];
    if (!take(d, i, guess_entry(d, hash, tags, read_reply(d, hash, d->slots[i])), &in, &out)) break;
  }
  count_received(d, in);
  count_sent(d, out);
  return i;
}

/** The same, each step for all packets of the burst, at most BURST. */
int32_t datapath_phases(const struct datapath *d, int32_t count) {
  uint32_t hashes[BURST], tags[BURST], replies[BURST];
  int32_t guesses[BURST];
  for (int i = 0; i < count; i++) hashes[i] = hash_tuple(d, d->frames + d->ats[i], d->lengths[i]);
  for (int i = 0; i < count; i++) {
    tags[i] = d->sessions[HEADER_WORDS + (hashes[i] & d->bucket_mask)];
    replies[i] = read_reply(d, hashes[i], d->slots[i]);
  }
  for (int i = 0; i < count; i++) guesses[i] = guess_entry(d, hashes[i], tags[i], replies[i]);
  if (d->sessions[HEADER_USED] > FEW_SESSIONS) {
    for (int i = 0; i < count; i++) {
      const int32_t *entry = d->sessions + (guesses[i] & ~GUESS_REPLY);
      __builtin_prefetch(entry, 1);
      __builtin_prefetch(entry + ENTRY_WORDS - 1, 1);
    }
    for (int i = 0; i < count; i++) {
      const int32_t *entry = d->sessions + (guesses[i] & ~GUESS_REPLY);
      __builtin_prefetch(d->service + (uint32_t)entry[SERVICE] * COLUMNS, 1);
      __builtin_prefetch(d->pod + (uint32_t)entry[POD] * COLUMNS, 1);
    }
  }
  struct run in = { -1, 0, 0 }, out = { -1, 0, 0 };
  int i = 0;
  while (i < count && take(d, i, guesses[i], &in, &out)) i++;
  count_received(d, in);
  count_sent(d, out);
  return i;
}
