// Opens connections and prints the results. Static, with its own resolver:
// it reads no file and no environment variable.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char* why(int number) {
  switch (number) {
    case ECONNREFUSED:
      return "ECONNREFUSED";
    case ECONNRESET:
      return "ECONNRESET";
    case ENETUNREACH:
      return "ENETUNREACH";
    case EHOSTUNREACH:
      return "EHOSTUNREACH";
    case EAFNOSUPPORT:
      return "EAFNOSUPPORT";
    case EINVAL:
      return "EINVAL";
    case EPERM:
      return "EPERM";
    case EACCES:
      return "EACCES";
    default:
      return strerror(number);
  }
}
static int fail(const char* what) {
  printf("%s: %s\n", what, why(errno));
  return 1;
}
static int open_to(const char* address, int port, int type) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  int is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
  if (!is_six) inet_pton(AF_INET, address, &four.sin_addr);
  int fd = socket(is_six ? AF_INET6 : AF_INET, type, 0);
  if (connect(fd, is_six ? (void*)&six : (void*)&four, is_six ? sizeof six : sizeof four) == 0) return fd;
  int number = errno;
  close(fd);
  errno = number;
  return -1;
}
// Sends one DNS query (RFC 1035) to a server. Stores the address of the answer and returns 0, or returns -1.
static int ask(const char* server, const char* name, char* address) {
  unsigned char message[512] = {0x12, 0x34, 1, 0, 0, 1};
  int at = 12;
  char copy[256];
  snprintf(copy, sizeof copy, "%s", name);
  for (char* label = strtok(copy, "."); label; label = strtok(NULL, ".")) {
    message[at++] = strlen(label);
    memcpy(message + at, label, strlen(label));
    at += strlen(label);
  }
  message[at + 2] = message[at + 4] = 1;
  int fd = open_to(server, 53, SOCK_DGRAM);
  if (send(fd, message, at + 5, 0) < 0) return -1;
  int size = recv(fd, message, sizeof message, 0);
  close(fd);
  if (size < 12 || (message[3] & 15) != 0 || message[7] == 0) return -1;
  snprintf(address, 64, "%d.%d.%d.%d", message[size - 4], message[size - 3], message[size - 2], message[size - 1]);
  return 0;
}
static int copy_all(int from, int to) {
  char bytes[65536];
  ssize_t size;
  while ((size = read(from, bytes, sizeof bytes)) > 0)
    for (ssize_t done = 0; done < size;) {
      ssize_t written = write(to, bytes + done, size - done);
      if (written < 0) return -1;
      done += written;
    }
  return size < 0 ? -1 : 0;
}
static int converse(int fd) {
  if (fd < 0) return fail("connect");
  pid_t child = fork();
  if (child == 0) {
    copy_all(0, fd);
    shutdown(fd, SHUT_WR);
    _exit(0);
  }
  if (copy_all(fd, 1) < 0) {
    fflush(stdout);
    return fail("read");
  }
  return 0;
}

int main(int count, char** args) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char* what = count > 1 ? args[1] : "";
  char address[64] = "0.0.0.0";
  if (!strcmp(what, "connect")) return open_to(args[2], atoi(args[3]), SOCK_STREAM) < 0 ? fail("connect") : !printf("connected\n");
  if (!strcmp(what, "lookup")) {
    if (ask(args[2], args[3], address)) return !!printf("no such name\n");
    return open_to(address, atoi(args[4]), SOCK_STREAM) < 0 ? fail("connect") : !printf("connected\n");
  }
  if (!strcmp(what, "udp")) {
    int fd = open_to(args[2], atoi(args[3]), SOCK_DGRAM);
    char byte = 0;
    if (send(fd, &byte, 1, 0) < 0) return fail("udp");
    return recv(fd, &byte, 1, 0) < 0 ? fail("udp") : !printf("answered\n");
  }
  if (!strcmp(what, "raw")) return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? fail("raw") : !printf("opened\n");
  if (!strcmp(what, "ping")) return socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) < 0 ? fail("ping") : !printf("opened\n");
  if (!strcmp(what, "tcp")) return converse(open_to(args[2], atoi(args[3]), SOCK_STREAM));
  if (!strcmp(what, "read")) {
    dup2(open("/dev/null", O_RDONLY), 0);
    return converse(open_to(args[2], atoi(args[3]), SOCK_STREAM));
  }
  if (ask("9.9.9.9", args[2], address)) return !!printf("no such name\n");
  int port = atoi(args[3]);
  if (!strcmp(what, "send")) return converse(open_to(address, port, SOCK_STREAM));
  if (!strcmp(what, "named")) {
    dup2(open("/dev/null", O_RDONLY), 0);
    return converse(open_to(address, port, SOCK_STREAM));
  }
  int wanted = atoi(args[4]);
  if (!strcmp(what, "flood")) {
    for (int index = 0; index < wanted; index++) close(open_to(address, port, SOCK_STREAM));
    return 0;
  }
  // many: prints how many connections are answered when all of them are open at the same time
  int* fds = calloc(wanted, sizeof *fds);
  int answered = 0;
  for (int index = 0; index < wanted; index++) fds[index] = open_to(address, port, SOCK_STREAM);
  for (int index = 0; index < wanted; index++) {
    char byte = 'x';
    if (fds[index] >= 0 && write(fds[index], &byte, 1) == 1 && read(fds[index], &byte, 1) == 1) answered++;
  }
  printf("%d of %d\n", answered, wanted);
  return 0;
}
