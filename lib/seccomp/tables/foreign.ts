/**
 * System calls that only other architectures have. Profiles for several architectures name them; they have no effect
 * here.
 */
export const foreignNames: ReadonlySet<string> = new Set(
  `_llseek _newselect arm_fadvise64_64 arm_sync_file_range bdflush breakpoint cacheflush chown32 clock_adjtime64
  clock_getres_time64 clock_gettime64 clock_nanosleep_time64 clock_settime64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64
  fstatfs64 ftruncate64 futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32
  io_pgetevents_time64 ipc lchown32 lstat64 mmap2 mq_timedreceive_time64 mq_timedsend_time64 nice oldfstat oldlstat oldolduname
  oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write ppoll_time64 pselect6_time64 recv recvmmsg_time64
  riscv_flush_icache riscv_hwprobe rt_sigtimedwait_time64 s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write
  s390_runtime_instr s390_sthyi sched_rr_get_interval_time64 semtimedop_time64 send sendfile64 set_tls setfsgid32 setfsuid32
  setgid32 setgroups32 setregid32 setresgid32 setresuid32 setreuid32 setuid32 sgetmask signal sigaction sigpending sigprocmask
  sigreturn sigsuspend socketcall ssetmask stat64 statfs64 stime swapcontext sync_file_range2 syscall sys_debug_setcontext
  timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit umount utimensat_time64 vm86 vm86old
  waitpid`
    .trim()
    .split(/\s+/),
);
