/* What the load generator was asked for: its options, and the requests of its file. */
#include "payload.h"

typedef struct {
  char *head;
  uint32_t bytes;
  Object object;
} Request;

static struct {
  int port, connections, pids[64], pid_count;
  bool puts, has_slow_readers;
  uint64_t size;
  double warm_up, window;
  Request *requests;
  size_t request_count;
} plan = {.connections = 1, .warm_up = 0.5, .window = 2};

static void read_requests(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) die(path);
  for (uint32_t n; fread(&n, sizeof n, 1, f) == 1; plan.request_count++) {
    plan.requests = realloc(plan.requests, (plan.request_count + 1) * sizeof(Request));
    Request *r = &plan.requests[plan.request_count];
    *r = (Request){.head = malloc(n + 1), .bytes = n};
    if (fread(r->head, 1, n, f) != n) die(path);
    r->head[n] = 0;
    if (!object_of_request(r->head, &r->object) || r->object.size != plan.size) {
      fprintf(stderr, "%s: not a request for an object of %lu bytes\n", path, plan.size);
      exit(2);
    }
    if (r->object.read_per_second && !plan.puts) plan.has_slow_readers = true;
  }
  fclose(f);
  if (!plan.request_count) die(path);
}

static void read_options(int argc, char **argv) {
  const char *requests = NULL;
  for (int o; (o = getopt(argc, argv, "p:r:m:s:c:w:d:P:")) > 0;) switch (o) {
      case 'p': plan.port = atoi(optarg); break;
      case 'r': requests = optarg; break;
      case 'm': plan.puts = !strcmp(optarg, "PUT"); break;
      case 's': plan.size = strtoull(optarg, NULL, 10); break;
      case 'c': plan.connections = atoi(optarg); break;
      case 'w': plan.warm_up = atof(optarg); break;
      case 'd': plan.window = atof(optarg); break;
      case 'P':
        for (char *p = strtok(optarg, ","); p && plan.pid_count < 64; p = strtok(NULL, ","))
          plan.pids[plan.pid_count++] = atoi(p);
        break;
      default: exit(2);
    }
  if (!requests || !plan.port) exit(2);
  read_requests(requests);
}
