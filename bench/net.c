// Client and server of the network benchmark:
//   net serve PORT                      answers the first byte of each connection with one byte
//   net latency ADDRESS PORT COUNT      connects, sends a byte, waits for one, closes; prints the median in µs
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}
static int compare(const void* one, const void* other) {
  const double difference = *(const double*)one - *(const double*)other;
  return difference < 0 ? -1 : difference > 0;
}

static int serve(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  const int on = 1;
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server, (struct sockaddr*)&at, sizeof at) != 0 || listen(server, 511) != 0) return 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    const int fd = accept(server, NULL, NULL);
    char byte = 0;
    if (read(fd, &byte, 1) == 1) (void)!write(fd, &byte, 1);
    close(fd);
  }
}

int main(int count, char** args) {
  if (count == 3 && !strcmp(args[1], "serve")) return serve(atoi(args[2]));
  if (count != 5 || strcmp(args[1], "latency") != 0) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(args[3]))};
  inet_pton(AF_INET, args[2], &to.sin_addr);
  const int rounds = atoi(args[4]);
  double* times = calloc(rounds, sizeof *times);
  for (int round = 0; round < rounds; round++) {
    const double start = now();
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'x';
    if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0 || write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
      perror("connection");
      return 1;
    }
    times[round] = now() - start;
    close(fd);
  }
  qsort(times, rounds, sizeof *times, compare);
  printf("%.1f\n", times[rounds / 2]);
  return 0;
}
