/* loadgen: closed-loop HTTP/1.1 load, one thread; every body that it receives is compared.
 *
 *   loadgen -p PORT -r REQUESTS -m GET|PUT -s SIZE -c CONNECTIONS -w WARM_UP_S -d WINDOW_S [-P PID,..]
 *
 * REQUESTS holds ready request heads (little-endian uint32 length, then the bytes), taken in turn;
 * a GET's key may ask for a slow reader (see payload.h).
 * The window is longer than WINDOW_S where no request ended in that time. After it none is begun,
 * and those under way are finished, so that a proxy and its backend end idle and their counters
 * can be compared with ours. CPU time is that of the PIDs between the ends of the window: user
 * and system, all threads, by their process CPU clocks (nanoseconds; /proc/PID/stat has the same
 * sum in ticks of 10 ms). Prints one JSON object; exit status 1 when a request failed or a body was
 * wrong. */
#include "plan.h"

#define MAX_FAILURES 50
#define GRACE_SECONDS 20 /* for a first request to end in the window, and for the last after it */

typedef struct {
  int fd, failures;
  enum { SENDING, HEAD, BODY, IDLE } state;
  const Request *request;
  Message message;
  size_t buffered;
  uint64_t length, received, began;
  Pace pace;
  bool waits_for_room, waits_for_turn, keeps;
  char in[32 * 1024];
} Connection;

static struct {
  uint64_t began, answered, completed, failed, wrong_bodies, reconnects, bytes;
  uint32_t *tenths_of_us;
  size_t capacity;
  char first_error[400];
} seen;

static enum { WARMING, MEASURING, DRAINING } phase;
static int epoll_fd, active;
static uint8_t scratch[256 * 1024];

/* Linux: the CPU clock of another process (see clock_getcpuclockid(3)). */
static double cpu_seconds(void) {
  double sum = 0;
  for (int i = 0; i < plan.pid_count; i++) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(plan.pids[i], &clock) || clock_gettime(clock, &t)) {
      fprintf(stderr, "process %d is gone\n", plan.pids[i]);
      exit(3);
    }
    sum += t.tv_sec + t.tv_nsec / 1e9;
  }
  return sum;
}

static void begin(Connection *c) {
  c->request = &plan.requests[seen.began++ % plan.request_count];
  c->message = (Message){.head = c->request->head, .head_bytes = c->request->bytes};
  c->message.seed = c->request->object.seed;
  c->message.body_bytes = plan.puts ? plan.size : 0;
  c->buffered = 0;
  c->state = SENDING;
  c->began = now_ns();
}

static void dial(Connection *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(plan.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c->fd, (void *)&to, sizeof to)) die("connect");
  tune(c->fd);
  c->waits_for_room = false;
  watch(epoll_fd, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
}

static void next(Connection *c, bool keeps) {
  if (phase == DRAINING) {
    close(c->fd);
    c->state = IDLE;
    active--;
    return;
  }
  if (!keeps) {
    close(c->fd);
    seen.reconnects++;
    dial(c);
  }
  begin(c);
}

static void fail(Connection *c, const char *why) {
  seen.failed++;
  c->in[c->buffered] = 0;
  if (!seen.first_error[0]) {
    snprintf(seen.first_error, sizeof seen.first_error, "%s: %.300s", why, c->in);
    for (char *p = seen.first_error; *p; p++)
      if (*p == '"' || *p == '\\' || *p < ' ' || *p > '~') *p = ' ';
  }
  if (++c->failures > MAX_FAILURES) {
    fprintf(stderr, "too many failures: %s\n", seen.first_error);
    exit(3);
  }
  next(c, false);
}

static void complete(Connection *c) {
  c->failures = 0;
  seen.answered++;
  if (phase == MEASURING) {
    if (seen.completed == seen.capacity) {
      seen.capacity = seen.capacity ? seen.capacity * 2 : 1 << 16;
      seen.tenths_of_us = realloc(seen.tenths_of_us, seen.capacity * sizeof(uint32_t));
      if (!seen.tenths_of_us) die("realloc");
    }
    uint64_t tenths = (now_ns() - c->began) / 100;
    seen.tenths_of_us[seen.completed++] = tenths > UINT32_MAX ? UINT32_MAX : tenths;
  }
  next(c, c->keeps);
}

/* The steps return whether there may be more to do without waiting. */
static bool send_request(Connection *c) {
  uint64_t before = c->message.body_sent;
  int done = message_send(c->fd, &c->message);
  if (phase == MEASURING) seen.bytes += c->message.body_sent - before;
  if (done < 0) return fail(c, "send"), true;
  if (c->waits_for_room != !done) {
    c->waits_for_room = !done;
    watch(epoll_fd, EPOLL_CTL_MOD, c->fd, done ? EPOLLIN : EPOLLIN | EPOLLOUT, c);
  }
  if (done) {
    c->state = HEAD;
    return false;
  }
  ssize_t k = recv(c->fd, c->in, sizeof c->in - 1, 0);
  if (k < 0 && errno == EAGAIN) return false;
  c->buffered = k > 0 ? k : 0;
  return fail(c, "an answer before the whole body was sent"), true;
}

static void take_body(Connection *c, const void *bytes, size_t n) {
  if (!body_matches(bytes, n, c->request->object.seed, c->received)) seen.wrong_bodies++;
  if (phase == MEASURING) seen.bytes += n;
  c->received += n;
}

static bool read_head(Connection *c) {
  ssize_t k = recv(c->fd, c->in + c->buffered, sizeof c->in - 1 - c->buffered, 0);
  if (k < 0 && errno == EAGAIN) return false;
  if (k <= 0) return fail(c, "no complete head"), true;
  c->buffered += k;
  c->in[c->buffered] = 0;
  char *end = memmem(c->in, c->buffered, "\r\n\r\n", 4);
  if (!end) return true;
  size_t head_bytes = end + 4 - c->in, rest = c->buffered - head_bytes;
  char kept = end[2];
  end[2] = 0;
  int status = atoi(c->in + strlen("HTTP/1.1 "));
  const char *length = field(c->in, "content-length"), *connection = field(c->in, "connection");
  c->keeps = !(connection && !strncasecmp(connection, "close", 5));
  c->length = length ? strtoull(length, NULL, 10) : 0;
  end[2] = kept;
  if (status == 100) {
    memmove(c->in, c->in + head_bytes, c->buffered = rest);
    return true;
  }
  if (status != 200) return fail(c, "status"), true;
  if (!length || c->length != (plan.puts ? 0 : plan.size) || rest > c->length)
    return fail(c, "length"), true;
  c->received = 0;
  take_body(c, end + 4, rest);
  c->pace = plan.puts ? (Pace){0} : pace_of(&c->request->object);
  pace_take(&c->pace, rest);
  c->state = BODY;
  return true;
}

/* Level-triggered: what is not to be read yet must not be watched. */
static void wait_for_turn(Connection *c) {
  c->waits_for_turn = true;
  watch(epoll_fd, EPOLL_CTL_MOD, c->fd, 0, c);
}

static bool read_body(Connection *c) {
  for (uint64_t left; (left = c->length - c->received);) {
    size_t room = pace_room(&c->pace, left < sizeof scratch ? left : sizeof scratch);
    if (!room) return wait_for_turn(c), false;
    ssize_t k = recv(c->fd, scratch, room, 0);
    if (k < 0 && errno == EAGAIN) return false;
    if (k <= 0) return fail(c, "a body that is too short"), true;
    pace_take(&c->pace, k);
    take_body(c, scratch, k);
  }
  complete(c);
  return true;
}

static void step(Connection *c) {
  if (c->waits_for_turn) return; /* a hang-up is reported although nothing is watched */
  for (bool more = true; more && c->state != IDLE;)
    more = c->state == SENDING ? send_request(c) : c->state == HEAD ? read_head(c) : read_body(c);
}

static void give_turns(Connection *all) {
  for (Connection *c = all; c < all + plan.connections; c++) {
    if (!c->waits_for_turn) continue;
    c->waits_for_turn = false;
    watch(epoll_fd, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    step(c);
  }
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double percentile_us(double q) {
  return seen.completed ? seen.tenths_of_us[(size_t)(q * (seen.completed - 1))] / 10.0 : 0;
}

static void report(double seconds, double cpu) {
  qsort(seen.tenths_of_us, seen.completed, sizeof(uint32_t), by_value);
  printf("{\"began\":%lu,\"answered\":%lu,\"completed\":%lu,\"failed\":%lu,\"wrong_bodies\":%lu,"
         "\"reconnects\":%lu,\"bytes\":%lu,\"seconds\":%.4f,\"cpu_seconds\":%.6f,\"p50_us\":%.1f,"
         "\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"first_error\":\"%s\"}\n",
         seen.began, seen.answered, seen.completed, seen.failed, seen.wrong_bodies,
         seen.reconnects, seen.bytes, seconds, cpu, percentile_us(.5), percentile_us(.9),
         percentile_us(.99), percentile_us(1), seen.first_error);
}

int main(int argc, char **argv) {
  pattern_init();
  read_options(argc, argv);
  epoll_fd = epoll_create1(0);
  active = plan.connections;
  Connection *all = calloc(plan.connections, sizeof *all);
  if (!all) die("calloc");
  for (Connection *c = all; c < all + plan.connections; c++) {
    dial(c);
    begin(c);
    step(c);
  }
  uint64_t start = 0, next_turn = 0, change = now_ns() + (uint64_t)(plan.warm_up * 1e9);
  const uint64_t grace = GRACE_SECONDS * 1000000000ull;
  double seconds = 0, cpu = 0;
  while (active) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, TURN_MS);
    uint64_t now = now_ns();
    if (now >= change && phase == WARMING) {
      phase = MEASURING, start = now, change = now + (uint64_t)(plan.window * 1e9);
      cpu = cpu_seconds();
    } else if (now >= change && phase == MEASURING && (seen.completed || now >= change + grace)) {
      phase = DRAINING, seconds = (now - start) / 1e9, change = now + grace;
      cpu = cpu_seconds() - cpu;
    } else if (now >= change && phase == DRAINING) {
      fprintf(stderr, "%d requests did not end\n", active);
      return 3;
    }
    for (int i = 0; i < n; i++) step(events[i].data.ptr);
    if (plan.has_slow_readers && now >= next_turn) {
      give_turns(all);
      next_turn = now + TURN_MS * 1000000ull;
    }
  }
  report(seconds, cpu);
  return seen.failed || seen.wrong_bodies ? 1 : 0;
}
