/* What the stub backend and the load generator share: object bodies that can be checked, and how
 * a message leaves.
 *
 * Byte i of the object with seed s is pattern[(s + i) % PERIOD]. The seed is a hash of the key, so a
 * body that belongs to another key is seen; the period is a prime number of pages, so a body with
 * a lost, repeated or swapped buffer (their sizes are powers of two) is seen as well. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PERIOD (251 * 4096)

static uint8_t *pattern; /* PERIOD bytes, mapped twice in a row: any PERIOD bytes are contiguous */

static inline void die(const char *what) {
  perror(what);
  exit(2);
}

static inline void pattern_init(void) {
  int fd = memfd_create("pattern", 0);
  if (fd < 0 || ftruncate(fd, PERIOD)) die("memfd_create");
  pattern = mmap(NULL, 2 * PERIOD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pattern == MAP_FAILED) die("mmap");
  for (int half = 0; half < 2; half++) {
    void *at = pattern + (size_t)half * PERIOD;
    if (mmap(at, PERIOD, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
      die("mmap");
  }
  close(fd);
  uint64_t x = 88172645463325252ull; /* xorshift64 (Marsaglia, 2003) */
  for (size_t i = 0; i < PERIOD; i += sizeof x) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    memcpy(pattern + i, &x, sizeof x);
  }
}

static inline const uint8_t *body_at(uint32_t seed, uint64_t offset) {
  return pattern + (seed + offset) % PERIOD;
}

static inline bool body_matches(const uint8_t *got, size_t n, uint32_t seed, uint64_t offset) {
  while (n) {
    size_t k = n < PERIOD ? n : PERIOD;
    if (memcmp(got, body_at(seed, offset), k)) return false;
    got += k, offset += k, n -= k;
  }
  return true;
}

typedef struct {
  uint64_t size, read_per_second; /* bytes; read_per_second 0: as fast as they come */
  uint32_t seed;
} Object;

/* The key is what follows, and includes, the first path segment of digits: the object's size.
 * So a proxy may map the bucket and put a prefix before the key. A key that goes on with
 * `/paced-<bytes>/` asks whoever receives the body to read no more than that in a second. */
static inline bool object_of_request(const char *head, Object *object) {
  const char *path = strchr(head, ' ');
  for (const char *p = path ? path + 1 : ""; *p && *p != ' ' && *p != '?'; p++) {
    if (*p != '/' || p[1] < '0' || p[1] > '9') continue;
    char *end;
    uint64_t value = strtoull(p + 1, &end, 10);
    if (*end != '/') continue;
    static const char paced[] = "/paced-";
    bool is_paced = !strncmp(end, paced, strlen(paced));
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (p++; *p && *p != ' ' && *p != '?'; p++) hash = (hash ^ (uint8_t)*p) * 16777619u;
    *object = (Object){.size = value, .seed = hash};
    if (is_paced) object->read_per_second = strtoull(end + strlen(paced), NULL, 10);
    return true;
  }
  return false;
}

/* A field's value in a NUL-terminated head (name in lower case, without the colon), or NULL. */
static inline const char *field(const char *head, const char *name) {
  size_t n = strlen(name);
  for (const char *p = head; (p = strstr(p, "\r\n"));) {
    p += 2;
    if (strncasecmp(p, name, n) || p[n] != ':') continue;
    for (p += n + 1; *p == ' ';) p++;
    return p;
  }
  return NULL;
}

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* How fast a slow reader reads: a bucket of tokens, a byte each, that holds a tenth of a second.
 * So it is slow all the time, and does not catch up after the sender was slower. */
typedef struct {
  uint64_t per_second, filled_at;
  int64_t tokens; /* negative after bytes that came together with a head */
} Pace;

#define TURN_MS 10 /* how often a reader that waits for tokens gets its turn */

static inline Pace pace_of(const Object *object) {
  return (Pace){.per_second = object->read_per_second, .filled_at = now_ns()};
}

/* How many of `wanted` bytes may be read now; 0 rather than a few, which would be many reads. */
static inline size_t pace_room(Pace *p, size_t wanted) {
  if (!p->per_second) return wanted;
  uint64_t now = now_ns();
  int64_t most = p->per_second / 10, least = p->per_second * TURN_MS / 2000, want = wanted;
  double filled = p->tokens + (now - p->filled_at) / 1e9 * p->per_second;
  p->tokens = filled < most ? (int64_t)filled : most;
  p->filled_at = now;
  if (p->tokens <= 0 || (p->tokens < least && p->tokens < want)) return 0;
  return want < p->tokens ? want : p->tokens;
}

static inline void pace_take(Pace *p, size_t bytes) {
  p->tokens -= p->per_second ? bytes : 0;
}

typedef struct {
  const char *head;
  size_t head_bytes, head_sent;
  uint32_t seed;
  uint64_t body_bytes, body_sent;
} Message;

/* Send as much as the socket takes: 1 all is sent, 0 it would block, -1 the connection is broken.
 * Bodies come from user memory, as those of a real peer do; sendfile() would make the proxy see
 * fragments of one page. */
static inline int message_send(int fd, Message *m) {
  while (m->head_sent < m->head_bytes || m->body_sent < m->body_bytes) {
    size_t head = m->head_bytes - m->head_sent;
    uint64_t body = m->body_bytes - m->body_sent;
    struct iovec parts[2] = {
        {(void *)(m->head + m->head_sent), head},
        {(void *)body_at(m->seed, m->body_sent), body < PERIOD ? body : PERIOD},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t k = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (k < 0) return errno == EAGAIN ? 0 : -1;
    size_t of_head = (size_t)k < head ? (size_t)k : head;
    m->head_sent += of_head;
    m->body_sent += k - of_head;
  }
  return 1;
}

static inline void tune(int fd) {
  int one = 1;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline void watch(int epoll, int op, int fd, uint32_t events, void *who) {
  struct epoll_event e = {.events = events, .data.ptr = who};
  if (epoll_ctl(epoll, op, fd, &e)) die("epoll_ctl");
}
