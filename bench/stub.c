/* stub: the S3 backend of the benchmark: one thread, and much faster than any proxy before it.
 *
 *   stub PORT BACKEND_ACCESS_KEY_ID
 *
 * GET, HEAD  /<bucket>/[<prefix>/]<size>/<rest>   200 with <size> bytes (see payload.h)
 * PUT        the same path                        reads and checks the body, 200 with an ETag;
 *                                                 a key may ask for a slow reader (see payload.h)
 * A chunked upload gets 501, as S3 gives it; any other method 405.
 *
 * SIGUSR1 prints the counters as one line of JSON and sets them to zero; SIGTERM prints and exits. */
#include "payload.h"

#include <sys/signalfd.h>

typedef struct Connection {
  int fd;
  enum { READ_HEAD, READ_BODY, WRITE } state;
  size_t buffered; /* bytes in `in` */
  Object object;
  uint64_t expected, received; /* request body */
  Pace pace;
  struct Connection *next_waiting;
  bool is_wrong, waits_for_room, waits_for_turn, closes;
  Message answer;
  char in[16 * 1024], out[1024];
} Connection;

static struct {
  uint64_t connections, requests, signed_by_backend_key, signed_by_other_key, unsigned_requests;
  uint64_t chunked_uploads, uploads, wrong_bodies, short_bodies;
} counts;

static Connection *waiting; /* slow readers, until their next turn */
static const char *backend_key;
static int epoll_fd;
static uint8_t scratch[256 * 1024];

static void print_counts(void) {
  printf("{\"connections\":%lu,\"requests\":%lu,\"signed_by_backend_key\":%lu,"
         "\"signed_by_other_key\":%lu,\"unsigned_requests\":%lu,\"chunked_uploads\":%lu,"
         "\"uploads\":%lu,\"wrong_bodies\":%lu,\"short_bodies\":%lu}\n",
         counts.connections, counts.requests, counts.signed_by_backend_key,
         counts.signed_by_other_key, counts.unsigned_requests, counts.chunked_uploads,
         counts.uploads, counts.wrong_bodies, counts.short_bodies);
  fflush(stdout);
  memset(&counts, 0, sizeof counts);
}

/* Whether `at` is a credential of the backend's key: the key, and then what ends it. */
static bool is_backend_key(const char *at, const char *end) {
  size_t n = strlen(backend_key);
  return !strncmp(at, backend_key, n) && !strncmp(at + n, end, strlen(end));
}

static bool is_signature(const char *at) {
  return at && strspn(at, "0123456789abcdef") == 64;
}

/* What follows `name` in a text that ends at `end`, or NULL. */
static const char *after(const char *text, const char *end, const char *name) {
  const char *at = text ? strstr(text, name) : NULL;
  return at && at < end ? at + strlen(name) : NULL;
}

/* Counts whose signature the request bears, in its Authorization field or, presigned, in its query.
 * That the signature is right is proved elsewhere, by the tests against a real object store. */
static void count_signature(const char *head) {
  const char *value = field(head, "authorization"), *separator = "/";
  const char *end = strstr(value ? value : head, "\r\n");
  if (!end) end = head + strlen(head);
  const char *credential = after(value, end, "AWS4-HMAC-SHA256 Credential=");
  const char *signature = after(value, end, "Signature=");
  if (!value) {
    separator = "%2F";
    credential = after(head, end, "X-Amz-Credential=");
    signature = after(head, end, "X-Amz-Signature=");
  }
  if (!credential || !is_signature(signature))
    counts.unsigned_requests++;
  else if (is_backend_key(credential, separator))
    counts.signed_by_backend_key++;
  else
    counts.signed_by_other_key++;
}

static void answer(Connection *c, const char *status, uint64_t length, bool has_body) {
  int n = snprintf(c->out, sizeof c->out,
                   "HTTP/1.1 %s\r\n"
                   "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
                   "Server: stub\r\n"
                   "x-amz-request-id: 4442587FB7D0A2F9\r\n"
                   "x-amz-id-2: vlR7PnpV2Ce81l0PRw6jlUpck7Jo5ZsQjryTjKlc5aLWGVHPZLj5NeC6qMa0emYB\r\n"
                   "Last-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
                   "ETag: \"9b2cf535f27731c97434%08x5328\"\r\n"
                   "Accept-Ranges: bytes\r\n"
                   "Content-Type: application/octet-stream\r\n"
                   "Content-Length: %lu\r\n%s\r\n",
                   status, c->object.seed, length, c->closes ? "Connection: close\r\n" : "");
  c->answer = (Message){.head = c->out, .head_bytes = n, .seed = c->object.seed};
  c->answer.body_bytes = has_body ? length : 0;
  c->state = WRITE;
}

static void refuse(Connection *c, const char *status) {
  c->closes = true;
  answer(c, status, 0, false);
}

/* `head` is NUL-terminated in front of its last line end. */
static void begin(Connection *c, const char *head) {
  c->object = (Object){0};
  bool is_object = object_of_request(head, &c->object);
  const char *length = field(head, "content-length");
  c->expected = length ? strtoull(length, NULL, 10) : 0;
  c->received = 0, c->is_wrong = false, c->closes = false;
  counts.requests++;
  count_signature(head);
  if (field(head, "transfer-encoding")) {
    counts.chunked_uploads++;
    refuse(c, "501 Not Implemented");
  } else if (!is_object) {
    refuse(c, "404 Not Found");
  } else if (!strncmp(head, "PUT ", 4) && c->expected == c->object.size) {
    if (field(head, "expect")) send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    c->pace = pace_of(&c->object);
    c->state = READ_BODY;
  } else if (c->expected || !strncmp(head, "PUT ", 4)) {
    refuse(c, "400 Bad Request");
  } else if (!strncmp(head, "GET ", 4)) {
    answer(c, "200 OK", c->object.size, true);
  } else if (!strncmp(head, "HEAD ", 5)) {
    answer(c, "200 OK", c->object.size, false);
  } else {
    refuse(c, "405 Method Not Allowed");
  }
}

/* The steps return 1 for "go on", 0 for "wait", -1 for "close". */
static int read_head(Connection *c) {
  char *end = c->buffered ? memmem(c->in, c->buffered, "\r\n\r\n", 4) : NULL;
  if (!end) {
    size_t room = sizeof c->in - 1 - c->buffered;
    ssize_t k = room ? recv(c->fd, c->in + c->buffered, room, 0) : 0;
    if (k <= 0) return k < 0 && errno == EAGAIN ? 0 : -1;
    c->buffered += k;
    return 1;
  }
  size_t head_bytes = end + 4 - c->in;
  char kept = end[2];
  end[2] = 0;
  begin(c, c->in);
  end[2] = kept;
  c->buffered -= head_bytes;
  memmove(c->in, c->in + head_bytes, c->buffered);
  return 1;
}

static void check(Connection *c, const void *bytes, size_t n) {
  if (!body_matches(bytes, n, c->object.seed, c->received)) c->is_wrong = true;
  c->received += n;
}

/* Level-triggered: what is not to be read yet must not be watched. */
static void wait_for_turn(Connection *c) {
  c->waits_for_turn = true;
  c->next_waiting = waiting;
  waiting = c;
  watch(epoll_fd, EPOLL_CTL_MOD, c->fd, 0, c);
}

static int read_body(Connection *c) {
  uint64_t left = c->expected;
  size_t early = c->buffered < left ? c->buffered : left;
  if (early) {
    check(c, c->in, early);
    pace_take(&c->pace, early);
    c->buffered -= early;
    memmove(c->in, c->in + early, c->buffered);
  }
  while ((left = c->expected - c->received)) {
    size_t room = pace_room(&c->pace, left < sizeof scratch ? left : sizeof scratch);
    if (!room) return wait_for_turn(c), 0;
    ssize_t k = recv(c->fd, scratch, room, 0);
    if (k <= 0) return k < 0 && errno == EAGAIN ? 0 : -1;
    pace_take(&c->pace, k);
    check(c, scratch, k);
  }
  counts.uploads++;
  if (c->is_wrong) counts.wrong_bodies++;
  answer(c, "200 OK", 0, false);
  return 1;
}

static int write_answer(Connection *c) {
  int done = message_send(c->fd, &c->answer);
  if (done < 0) return -1;
  if (c->waits_for_room != !done) {
    c->waits_for_room = !done;
    watch(epoll_fd, EPOLL_CTL_MOD, c->fd, done ? EPOLLIN : EPOLLIN | EPOLLOUT, c);
  }
  if (!done) return 0;
  if (c->closes) return -1;
  c->state = READ_HEAD;
  return c->buffered ? 1 : 0; /* do not pay for a recv() that would block */
}

static void serve(Connection *c) {
  if (c->waits_for_turn) return; /* a hang-up is reported although nothing is watched */
  int go;
  do {
    go = c->state == READ_HEAD ? read_head(c) : c->state == READ_BODY ? read_body(c) : write_answer(c);
  } while (go > 0);
  if (go == 0) return;
  if (c->state == READ_BODY) counts.short_bodies++;
  close(c->fd);
  free(c);
}

static void give_turns(void) {
  Connection *c = waiting;
  waiting = NULL;
  while (c) {
    Connection *next = c->next_waiting;
    c->waits_for_turn = false;
    watch(epoll_fd, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    serve(c); /* which may free it, or have it wait again */
    c = next;
  }
}

static void take_all(int listener) {
  for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
    Connection *c = calloc(1, sizeof *c);
    if (!c) die("calloc");
    c->fd = fd;
    tune(fd);
    counts.connections++;
    watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, c);
  }
}

static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in at = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (void *)&at, sizeof at) || listen(fd, 1024)) die("bind");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: stub PORT BACKEND_ACCESS_KEY_ID\n");
    return 2;
  }
  backend_key = argv[2];
  pattern_init();
  sigset_t told;
  sigemptyset(&told);
  sigaddset(&told, SIGUSR1);
  sigaddset(&told, SIGTERM);
  sigprocmask(SIG_BLOCK, &told, NULL);
  int listener = listen_on(atoi(argv[1])), signals = signalfd(-1, &told, 0);
  epoll_fd = epoll_create1(0);
  watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
  watch(epoll_fd, EPOLL_CTL_ADD, signals, EPOLLIN, &signals);
  for (uint64_t next_turn = 0;;) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, waiting ? TURN_MS : -1);
    if (waiting && now_ns() >= next_turn) {
      give_turns();
      next_turn = now_ns() + TURN_MS * 1000000ull;
      continue; /* what was reported is reported again; some of it may be gone */
    }
    for (int i = 0; i < n; i++) {
      void *who = events[i].data.ptr;
      if (who == &listener) {
        take_all(listener);
      } else if (who == &signals) {
        struct signalfd_siginfo info;
        if (read(signals, &info, sizeof info) != sizeof info) die("signalfd");
        print_counts();
        if (info.ssi_signo == SIGTERM) return 0;
      } else {
        serve(who);
      }
    }
  }
}
