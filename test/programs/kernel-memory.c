// Allocates as much kernel memory of one kind, or as many kernel objects, as the kernel grants. Prints how many, and
// keeps them until EOF on stdin.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char data[1 << 20];
static long taken;
static int reason;

static int took(long result) {
  if (result < 0)
    reason = errno;
  else
    taken++;
  return result >= 0;
}

static void enlarge(int fd) {
  const int size = 1 << 30;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

static void fill(int fd, size_t chunk, long most) {
  for (long sum = 0; sum < most;) {
    const ssize_t sent = send(fd, data, chunk, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) return;
    sum += sent;
  }
}

static const struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_port = 0x0900, .sin_addr = {0x0100007f}};

static int listener(struct sockaddr_in* address) {
  socklen_t length = sizeof *address;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  *address = loopback;
  address->sin_port = 0;
  enlarge(fd);
  if (bind(fd, (void*)address, length) || listen(fd, 4096)) return -1;
  getsockname(fd, (void*)address, &length);
  return fd;
}

static int connected(const struct sockaddr_in* address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  enlarge(fd);
  if (fd >= 0 && connect(fd, (const void*)address, sizeof *address)) {
    close(fd);
    return -1;
  }
  return fd;
}

static void tcp(void) {
  struct sockaddr_in address;
  const int server = listener(&address);
  for (;;) {
    const int client = connected(&address);
    if (!took(client)) return;
    const int other = accept(server, 0, 0);
    if (other < 0) return;
    fill(client, 65536, 1 << 30);
    fill(other, 65536, 1 << 30);
  }
}

// Connections that are never accepted and whose clients have closed them.
static void backlog(void) {
  const time_t end = time(0) + 4;
  for (;;) {
    struct sockaddr_in address;
    if (!took(listener(&address))) return;
    for (int count = 0; count < 100 && time(0) < end; count++) {
      const int client = connected(&address);
      if (client < 0) return;
      fill(client, 60000, 60000);
      close(client);
    }
    if (time(0) >= end) return;
  }
}

static void pairs(int type, size_t chunk) {
  for (int pair[2]; took(socketpair(AF_UNIX, type, 0, pair));) {
    enlarge(pair[0]);
    fill(pair[0], chunk, 1 << 30);
  }
}
static void unix_stream(void) { pairs(SOCK_STREAM, 32768); }
static void unix_datagram(void) { pairs(SOCK_DGRAM, 100000); }

static void udp(void) {
  const int sender = socket(AF_INET, SOCK_DGRAM, 0);
  for (;;) {
    struct sockaddr_in address = loopback;
    socklen_t length = sizeof address;
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (!took(fd)) return;
    enlarge(fd);
    address.sin_port = 0;
    if (bind(fd, (void*)&address, length)) return;
    getsockname(fd, (void*)&address, &length);
    for (int count = 0; count < 300; count++) sendto(sender, data, 60000, MSG_DONTWAIT, (void*)&address, length);
  }
}

static void corked(void) {
  for (int fd; took(fd = socket(AF_INET, SOCK_DGRAM, 0));) {
    enlarge(fd);
    connect(fd, (const void*)&loopback, sizeof loopback);
    for (int count = 0; count < 16; count++) send(fd, data, 4000, MSG_MORE | MSG_DONTWAIT);
  }
}

// Fills error queues: with copies of sent messages and their timestamps, which are requested once or with each message,
// and with ICMP errors.
static void error_queue(int level, int option, int value, int by_message) {
  char control[CMSG_SPACE(sizeof value)] = {0};
  struct cmsghdr* header = (void*)control;
  header->cmsg_len = CMSG_LEN(sizeof value);
  header->cmsg_level = level;
  header->cmsg_type = option;
  memcpy(CMSG_DATA(header), &value, sizeof value);
  struct iovec part = {data, 60000};
  struct msghdr message = {(void*)&loopback, sizeof loopback, &part, 1, by_message ? control : 0, by_message ? sizeof control : 0, 0};
  for (int fd; took(fd = socket(AF_INET, SOCK_DGRAM, 0));) {
    enlarge(fd);
    if (!by_message) setsockopt(fd, level, option, &value, sizeof value);
    for (int count = 0; count < 150; count++) sendmsg(fd, &message, MSG_DONTWAIT);
  }
}
static const int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED;
static void timestamps(void) { error_queue(SOL_SOCKET, SO_TIMESTAMPING, stamps, 0); }
static void timestamps_asked(void) { error_queue(SOL_SOCKET, SO_TIMESTAMPING, stamps, 1); }
static void icmp_errors(void) { error_queue(IPPROTO_IP, IP_RECVERR, 1, 0); }

static void keys_of_tcp(void) {
  struct {
    struct sockaddr_storage address;
    unsigned char flags, prefix;
    unsigned short length;
    int index;
    unsigned char key[80];
  } entry = {.length = 80};
  struct sockaddr_in* address = (void*)&entry.address;
  address->sin_family = AF_INET;
  for (int fd; took(fd = socket(AF_INET, SOCK_STREAM, 0));)
    for (unsigned count = 0; count < 500; count++) {
      address->sin_addr.s_addr = htonl(0x0a000000 + count);
      if (setsockopt(fd, IPPROTO_TCP, 14 /* TCP_MD5SIG */, &entry, sizeof entry)) break;
    }
}

static void netlink(void) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
  } request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, 0}, {0}};
  for (int fd; took(fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));) {
    enlarge(fd);
    for (int count = 0; count < 300; count++) send(fd, &request, sizeof request, MSG_DONTWAIT);
  }
}

static void pipes(void) {
  for (int ends[2]; took(pipe2(ends, O_NONBLOCK));) {
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    while (write(ends[1], data, 65536) > 0)
      ;
  }
}

// Full queues stay open.
static void mqueue(void) {
  for (int count = 0;; count++) {
    char name[32];
    snprintf(name, sizeof name, "/q%d", count);
    struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    const mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
    if (!took(queue)) return;
    while (!mq_send(queue, data, 8192, 0))
      ;
  }
}

static void epoll(void) {
  int sets[500], events[500];
  for (int index = 0; index < 500; index++) {
    sets[index] = epoll_create1(0);
    events[index] = eventfd(0, 0);
  }
  for (int set = 0; set < 500; set++)
    for (int index = 0; index < 500; index++) {
      struct epoll_event event = {.events = EPOLLIN};
      if (!took(epoll_ctl(sets[set], EPOLL_CTL_ADD, events[index], &event))) return;
    }
}

static void inotify(void) {
  int instances[200], count = 0;
  while (count < 200 && (instances[count] = inotify_init1(O_NONBLOCK)) >= 0) count++;
  for (int directory = 0;; directory++) {
    char name[32];
    snprintf(name, sizeof name, "/tmp/w%d", directory);
    if (mkdir(name, 0700)) break;
    for (int index = 0; index < count; index++)
      if (!took(inotify_add_watch(instances[index], name, IN_ALL_EVENTS))) return;
  }
}

static void timers(void) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  for (int id; took(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));)
    ;
}

static void signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, 0);
  while (took(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){0})))
    ;
}

static void terminals(void) {
  for (int fd; took(fd = open("/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY));) {
    int unlocked = 0;
    ioctl(fd, TIOCSPTLCK, &unlocked);
    while (write(fd, data, 4096) > 0)
      ;
  }
}

static void page_tables(void) {
  const int fd = memfd_create("page", 0);
  if (ftruncate(fd, 4096)) return;
  for (long count = 0; count < 60000; count++) {
    volatile char* page = mmap((void*)(0x100000000000L + (count << 21)), 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    if (page == MAP_FAILED) return;
    (void)*page;
    taken++;
  }
}

static void names(void) {
  for (long count = 0; count < 200000; count++) {
    char name[256];
    struct stat stats;
    snprintf(name, sizeof name, "/proc/%0200ld", count);
    stat(name, &stats);
    taken++;
  }
}

static void locks(void) {
  const int fd = memfd_create("locks", 0);
  for (long at = 0; at < 300; at++) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = at * 2, .l_len = 1};
    if (!took(fcntl(fd, F_SETLK, &lock))) return;
  }
}

static void session_keyrings(void) {
  while (took(syscall(SYS_keyctl, 1, 0)) && taken < 500)
    if (fork() == 0) pause();
}

static void networks(void) {
  if (unshare(CLONE_NEWUSER)) return;
  while (took(unshare(CLONE_NEWNET))) open("/proc/self/ns/net", O_RDONLY);
}

static const struct {
  const char* name;
  void (*take)(void);
} kinds[] = {
    {"tcp", tcp},
    {"backlog", backlog},
    {"unix-stream", unix_stream},
    {"unix-datagram", unix_datagram},
    {"udp", udp},
    {"corked", corked},
    {"timestamps", timestamps},
    {"timestamps-asked", timestamps_asked},
    {"icmp-errors", icmp_errors},
    {"tcp-keys", keys_of_tcp},
    {"netlink", netlink},
    {"pipes", pipes},
    {"mqueue", mqueue},
    {"epoll", epoll},
    {"inotify", inotify},
    {"timers", timers},
    {"signals", signals},
    {"terminals", terminals},
    {"page-tables", page_tables},
    {"names", names},
    {"locks", locks},
    {"session-keyrings", session_keyrings},
    {"networks", networks},
};

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (unsigned index = 0; index < sizeof kinds / sizeof *kinds; index++) {
    if (argc < 2)
      printf("%s\n", kinds[index].name);
    else if (strcmp(kinds[index].name, argv[1]) == 0) {
      kinds[index].take();
      printf("%s %ld %s\n", argv[1], taken, strerror(reason));
      while (read(0, data, sizeof data) > 0)
        ;
    }
  }
  return 0;
}
