// Attacks from inside, each harmless if it succeeds. Prints a line for each: ID OPEN|BLOCKED|NA detail.
// The IDs are those of the catalogue of threats. argv[1] is the name of the host.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKED, OPEN, NA };

static char detail[256];
static const char* host_name = "";

static int say(const char* text) {
  snprintf(detail + strlen(detail), sizeof detail - strlen(detail), " %s", text);
  return OPEN;
}

// Returns whether a call passed every filter and permission check, regardless of its result after that.
static int reached(long result) {
  if (result >= 0) return OPEN;
  if (errno == ENOSYS || errno == EPERM || errno == EACCES || errno == EAFNOSUPPORT || errno == ESRCH) return BLOCKED;
  return say(strerror(errno));
}

// Runs an attack that changes the process in a child, and returns its exit status. A child that was killed counts as
// blocked.
static int in_child(int (*attack)(void)) {
  const pid_t pid = fork();
  if (pid < 0) return NA;
  if (pid == 0) _exit(attack());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : BLOCKED;
}

static int can_read(const char* path) {
  char byte;
  const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return 0;
  const int got = read(fd, &byte, 1) == 1;
  close(fd);
  if (got) say(path);
  return got;
}

// A masked file is /dev/null, which can be opened for writing.
static int is_null_device(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3);
}

static int can_open_for_writing(const char* path) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const int masked = is_null_device(fd);
  close(fd);
  if (masked) return 0;
  say(path);
  return 1;
}

static int a01_child(void) { return unshare(CLONE_NEWUSER) == 0; }
static int a01(void) { return in_child(a01_child); }

static int a02_child(void) {
  const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid > 0;
}
static int a02(void) { return in_child(a02_child); }

static int a03_child(void) {
  unsigned long args[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  const long pid = syscall(SYS_clone3, args, sizeof args);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid > 0;
}
static int a03(void) { return in_child(a03_child); }

static int a05(void) { return can_open_for_writing("/proc/sys/user/max_user_namespaces"); }

static int a07(void) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1; }

static int a08(void) {
  char line[256];
  FILE* status = fopen("/proc/self/status", "r");
  if (!status) return NA;
  int found = BLOCKED;
  while (fgets(line, sizeof line, status))
    if (!strncmp(line, "Cap", 3) && strtoull(line + 7, NULL, 16) != 0) found = OPEN;
  fclose(status);
  return found;
}

static int a08b_child(void) {
  unsigned header[2] = {0x20080522, 0}, data[6];
  for (int i = 0; i < 6; i++) data[i] = 1 << 21;
  return syscall(SYS_capset, header, data) == 0;
}
static int a08b(void) { return in_child(a08b_child); }

static int a09_child(void) {
  gid_t group = 0;
  return syscall(SYS_setresuid, 0, 0, 0) == 0 || syscall(SYS_setgroups, 1, &group) == 0;
}
static int a09(void) { return in_child(a09_child); }

static int a10(void) { return getuid() == 65534; }

static int a13_child(void) { return chroot("/") == 0; }
static int a13(void) { return in_child(a13_child); }

static int a14(void) {
  struct stat info;
  char cwd[4096];
  const long got = syscall(SYS_getcwd, cwd, sizeof cwd);
  if (got > 0 && !strncmp(cwd, "(unreachable)", 13)) return say(cwd);
  return stat("/etc/shadow", &info) == 0 ? say("/etc/shadow") : BLOCKED;
}

static int a15(void) { return (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & 0x3) != 0x3; }

static int a17_child(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) != 0) return BLOCKED;
  return OPEN;
}
static int a17(void) { return in_child(a17_child); }

static int b01(void) {
  char target[256];
  return readlink("/proc/1/exe", target, sizeof target) > 0 ? OPEN : BLOCKED;
}

static int b03(void) {
  char path[64];
  struct stat info;
  for (int fd = 0; fd < 1024; fd++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d/etc/hostname", fd);
    if (stat(path, &info) == 0) return say(path);
  }
  return BLOCKED;
}

static int b17(void) {
  const char* node = "/tmp/nsjs-probe-node";
  const int made = mknod(node, S_IFCHR | 0600, makedev(1, 1)) == 0;
  unlink(node);
  return made;
}

static int b18(void) {
  static const char* known[] = {".",   "..", "null",  "zero",   "full",   "random", "urandom",
                                "tty", "fd", "stdin", "stdout", "stderr", "shm",    NULL};
  DIR* directory = opendir("/dev");
  if (!directory) return BLOCKED;
  int found = BLOCKED;
  for (struct dirent* entry; (entry = readdir(directory));) {
    int expected = 0;
    for (const char** name = known; *name; name++) expected |= !strcmp(*name, entry->d_name);
    if (!expected) found = say(entry->d_name);
  }
  closedir(directory);
  return found;
}

static int b20(void) {
  static const char* paths[] = {
      "/proc/kcore", "/proc/kmsg",      "/proc/kallsyms",  "/proc/iomem",   "/proc/slabinfo",   "/proc/timer_list",
      "/proc/keys",  "/proc/key-users", "/proc/config.gz", "/proc/cmdline", "/proc/interrupts", "/proc/sched_debug",
      NULL};
  int found = BLOCKED;
  for (const char** path = paths; *path; path++) found |= can_read(*path);
  return found;
}

static int b21(void) {
  static const char* paths[] = {"/proc/sys/kernel/core_pattern",
                                "/proc/sys/kernel/modprobe",
                                "/proc/sys/fs/binfmt_misc/register",
                                "/proc/sys/vm/panic_on_oom",
                                "/proc/sys/kernel/panic",
                                "/proc/sysrq-trigger",
                                NULL};
  int found = BLOCKED;
  for (const char** path = paths; *path; path++) found |= can_open_for_writing(*path);
  return found;
}

// The results of the calls do not matter: with any limit other than 1, a core dump handler of the host would run.
static int b22_child(void) {
  const struct rlimit wanted[] = {{0, 0}, {0, 1}, {RLIM_INFINITY, RLIM_INFINITY}};
  for (unsigned index = 0; index < sizeof wanted / sizeof *wanted; index++) {
    struct rlimit now, old;
    (void)setrlimit(RLIMIT_CORE, &wanted[index]);
    (void)syscall(SYS_prlimit64, 0, RLIMIT_CORE, &wanted[index], NULL);
    (void)syscall(SYS_prlimit64, 0, RLIMIT_CORE, &wanted[index], &old);
    if (getrlimit(RLIMIT_CORE, &now) != 0 || now.rlim_cur != 1) return 1;
  }
  return 0;
}
static int b22(void) { return in_child(b22_child); }

// Mounts only in the child's own mount namespace, so that the mounts never become visible on the host.
static int mounts(const char* type) {
  if (unshare(CLONE_NEWNS) != 0 && reached(-1) == BLOCKED) return BLOCKED;
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return BLOCKED;
  return mount("none", "/tmp", type, 0, NULL) == 0;
}
static int b11_child(void) { return mounts("tmpfs"); }
static int b11(void) { return in_child(b11_child); }
static int b23_child(void) { return mounts("cgroup2") || can_open_for_writing("/sys/fs/cgroup/unified/cgroup.procs"); }
static int b23(void) { return in_child(b23_child); }

static int b24(void) {
  struct stat info;
  return stat("/sys/kernel", &info) == 0;
}

static int b25(void) {
  struct stat info;
  char byte;
  const int fd = open("/proc/1/environ", O_RDONLY);
  const int environment = fd >= 0 && read(fd, &byte, 1) >= 0;
  if (fd >= 0) close(fd);
  return environment || stat("/proc/1/root/.", &info) == 0 || stat("/proc/1/fd/0", &info) == 0;
}

static int b28(void) {
  struct {
    struct {
      unsigned bytes;
      int type;
    } head;
    unsigned char rest[128];
  } handle = {{128, 0}, {0}};
  int mount_id;
  return reached(syscall(SYS_name_to_handle_at, AT_FDCWD, "/", &handle, &mount_id, 0)) == OPEN ||
         reached(syscall(458, NULL, NULL, 0, 0)) == OPEN;
}

static int b35(void) {
  const long fd = syscall(SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, 0);
  if (fd >= 0) close((int)fd);
  return fd >= 0;
}

static int b36(void) { return can_read("/etc/machine-id"); }

static int b37(void) {
  DIR* directory = opendir("/run");
  if (!directory) return BLOCKED;
  int entries = 0;
  while (readdir(directory)) entries++;
  closedir(directory);
  return entries > 2;
}

static int c01(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  const int seized = ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return seized;
}

static int c02(void) {
  char byte;
  struct iovec local = {&byte, 1}, remote = {(void*)16, 1};
  return reached(syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0));
}

static int c04(void) {
  const long process = syscall(SYS_pidfd_open, getpid(), 0);
  if (process < 0) return BLOCKED;
  const long fd = syscall(SYS_pidfd_getfd, process, 0, 0);
  if (fd >= 0) close((int)fd);
  close((int)process);
  return fd >= 0;
}

static int c06(void) {
  DIR* directory = opendir("/proc");
  if (!directory) return BLOCKED;
  int processes = 0;
  for (struct dirent* entry; (entry = readdir(directory));) processes += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
  closedir(directory);
  return processes > 4;
}

static int c09(void) {
  int found = BLOCKED;
  for (int fd = 3; fd < 256; fd++)
    if (fcntl(fd, F_GETFD) >= 0) found = OPEN;
  return found;
}

extern char** environ;
static int c12(void) {
  static const char* known[] = {"PATH=", "HOME=", "LANG=", "TERM=", "TZ=", NULL};
  int found = BLOCKED;
  for (char** entry = environ; *entry; entry++) {
    int expected = 0;
    for (const char** name = known; *name; name++) expected |= !strncmp(*name, *entry, strlen(*name));
    if (!expected) found = OPEN;
  }
  return found;
}

static int c26(void) {
  struct stat info;
  for (int fd = 0; fd < 3; fd++)
    if (fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode)) return OPEN;
  return BLOCKED;
}

static int d01_child(void) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid of i386 */) : "memory");
  return result > 0;
#else
  return NA;
#endif
}
static int d01(void) { return in_child(d01_child); }

static int d02(void) {
#ifdef __x86_64__
  return syscall(0x40000000 | 39) > 0;
#else
  return NA;
#endif
}

// ENOTTY means that the request reached a driver.
static int request(unsigned long number) {
  char byte = 'x';
  return syscall(SYS_ioctl, 0, number, &byte) == 0 || errno == ENOTTY;
}
static int d03(void) { return request(0x5412UL | 1UL << 32); }
static int d04(void) {
  char parameters[256] = {0};
  return reached(syscall(SYS_io_uring_setup, 1, parameters));
}
static int d05(void) { return syscall(1000) >= 0 || errno != ENOSYS; }

static int family(int number, int type, int protocol) {
  const int fd = socket(number, type, protocol);
  if (fd >= 0) close(fd);
  return fd >= 0;
}
static int d07(void) { return family(38, SOCK_SEQPACKET, 0); }
static int d10a(void) { return family(AF_PACKET, SOCK_RAW, 0); }
static int d10b(void) { return family(AF_NETLINK, SOCK_RAW, 12); }
static int d10c(void) { return family(40, SOCK_STREAM, 0); }
static int d10d(void) { return family(AF_NETLINK, SOCK_RAW, 0); }
static int d12(void) { return reached(syscall(SYS_bpf, 0, NULL, 0)); }
static int d13(void) { return reached(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)); }
static int d14(void) {
  const long fd = syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */);
  if (fd >= 0) close((int)fd);
  return reached(fd);
}
static int d15(void) { return reached(syscall(SYS_keyctl, 0, -3, 0)); }
static int d17_child(void) { return syscall(SYS_personality, 0x40000) >= 0; }
static int d17(void) { return in_child(d17_child); }
static int d18(void) {
#ifdef __x86_64__
  char table[16];
  return reached(syscall(SYS_modify_ldt, 0, table, sizeof table));
#else
  return NA;
#endif
}
static int d19a(void) { return reached(syscall(SYS_reboot, 0, 0, 0, NULL)); }
static int d19b(void) { return reached(syscall(SYS_quotactl, ~0, NULL, 0, NULL)); }
static int d20a(void) { return reached(syscall(SYS_fsopen, "tmpfs", 0)); }
static int d20b(void) { return reached(syscall(SYS_open_tree, -1, "", 0)); }
static int d20c(void) { return reached(syscall(SYS_move_mount, -1, "", -1, "", 4)); }
static int d20d(void) { return reached(syscall(SYS_mount_setattr, -1, "", 0x1000, NULL, 0)); }
static int d20e(void) { return reached(syscall(SYS_umount2, "/nonexistent", 0)); }
static int d20f(void) { return reached(syscall(SYS_pivot_root, "/nonexistent", "/nonexistent")); }

static int d21_child(void) {
  struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  struct sock_fprog program = {1, &allow};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 8 /* NEW_LISTENER */, &program) >= 0;
}
static int d21(void) { return in_child(d21_child); }

static int d26(void) {
  int ends[2];
  struct iovec part = {detail, 1};
  if (pipe(ends) != 0) return NA;
  const long moved = syscall(SYS_vmsplice, ends[1], &part, 1, 0);
  close(ends[0]);
  close(ends[1]);
  return moved > 0;
}
static int d27(void) {
  const long fd = syscall(447, 0);
  if (fd >= 0) close((int)fd);
  return fd >= 0;
}
static int d28(void) { return reached(syscall(SYS_process_madvise, -1, NULL, 0, 0, 0)); }
static int d29a(void) { return request(0x541c); }
static int d29b(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const int ns = ioctl(fd, 0x894c /* SIOCGSKNS */);
  close(fd);
  return ns >= 0;
}
static int d30(void) { return reached(syscall(SYS_setns, -1, 0)); }
static int d33(void) { return reached(syscall(SYS_kcmp, getpid(), getpid(), 99, 0, 0)); }

static int g01(void) { return request(0x5412); }
static int g04(void) {
  char byte;
  return read(0, &byte, 1) > 0;
}
static int g06(void) {
  struct utsname name;
  uname(&name);
  return !strcmp(name.nodename, host_name);
}
static int g09(void) {
  char line[512];
  FILE* file = fopen("/proc/self/cgroup", "r");
  if (!file) return NA;
  int found = BLOCKED;
  while (fgets(line, sizeof line, file)) {
    const char* path = strrchr(line, ':');
    if (path && strcmp(path, ":/\n") != 0) found = OPEN;
  }
  fclose(file);
  return found;
}

static void* thread(void* argument) { return argument; }
static int threads_work(void) {
  pthread_t id;
  return pthread_create(&id, NULL, thread, NULL) == 0 && pthread_join(id, NULL) == 0;
}

static const struct {
  const char* id;
  int (*attack)(void);
} probes[] = {
    {"A01", a01},   {"A02", a02},   {"A03", a03},   {"A05", a05},   {"A07", a07},   {"A08", a08},   {"A08b", a08b}, {"A09", a09},
    {"A10", a10},   {"A13", a13},   {"A14", a14},   {"A15", a15},   {"A17", a17},   {"B01", b01},   {"B03", b03},   {"B11", b11},
    {"B17", b17},   {"B18", b18},   {"B20", b20},   {"B21", b21},   {"B22", b22},   {"B23", b23},   {"B24", b24},   {"B25", b25},
    {"B28", b28},   {"B35", b35},   {"B36", b36},   {"B37", b37},   {"C01", c01},   {"C02", c02},   {"C04", c04},   {"C06", c06},
    {"C09", c09},   {"C12", c12},   {"C26", c26},   {"D01", d01},   {"D02", d02},   {"D03", d03},   {"D04", d04},   {"D05", d05},
    {"D07", d07},   {"D10a", d10a}, {"D10b", d10b}, {"D10c", d10c}, {"D10d", d10d}, {"D12", d12},   {"D13", d13},   {"D14", d14},
    {"D15", d15},   {"D17", d17},   {"D18", d18},   {"D19a", d19a}, {"D19b", d19b}, {"D20a", d20a}, {"D20b", d20b}, {"D20c", d20c},
    {"D20d", d20d}, {"D20e", d20e}, {"D20f", d20f}, {"D21", d21},   {"D26", d26},   {"D27", d27},   {"D28", d28},   {"D29a", d29a},
    {"D29b", d29b}, {"D30", d30},   {"D33", d33},   {"G01", g01},   {"G04", g04},   {"G06", g06},   {"G09", g09},
};

int main(int argc, char** argv) {
  static const char* words[] = {"BLOCKED", "OPEN", "NA"};
  if (argc > 1) host_name = argv[1];
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (unsigned index = 0; index < sizeof probes / sizeof *probes; index++) {
    detail[0] = 0;
    const int result = probes[index].attack();
    printf("%s %s%s\n", probes[index].id, words[result], detail);
  }
  printf("threads %s\n", threads_work() ? "WORK" : "FAIL");
  return 0;
}
