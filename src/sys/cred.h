// Identity and privileges of the calling process. Raw calls: glibc's set*id wrappers signal every thread.
#pragma once
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <sys/resource.h>

#include "result.h"
#include "raw.h"
#include <asm/unistd.h>

namespace nsjs::sys {

inline Status prctl(int option, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0, unsigned long d = 0) {
  return to_status(__NR_prctl,
                   raw(__NR_prctl, option, static_cast<long>(a), static_cast<long>(b), static_cast<long>(c), static_cast<long>(d)));
}

inline Status setgroups(unsigned count, const std::uint32_t* groups) {
  return to_status(__NR_setgroups, raw(__NR_setgroups, count, as_arg(groups)));
}
inline Status setresuid(unsigned uid) { return to_status(__NR_setresuid, raw(__NR_setresuid, uid, uid, uid)); }
inline Status seteuid(unsigned uid) { return to_status(__NR_setresuid, raw(__NR_setresuid, -1, uid, -1)); }
inline Status setresgid(unsigned gid) { return to_status(__NR_setresgid, raw(__NR_setresgid, gid, gid, gid)); }

inline Status capset(std::uint64_t effective, std::uint64_t permitted, std::uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (unsigned word = 0; word < 2; ++word) {
    data[word].effective = static_cast<std::uint32_t>(effective >> (32 * word));
    data[word].permitted = static_cast<std::uint32_t>(permitted >> (32 * word));
    data[word].inheritable = static_cast<std::uint32_t>(inheritable >> (32 * word));
  }
  return to_status(__NR_capset, raw(__NR_capset, as_arg(&header), as_arg(&data)));
}

// With SECCOMP_FILTER_FLAG_NEW_LISTENER the value is a descriptor.
inline Result<long> seccomp_filter(sock_fprog program, unsigned flags) {
  const long result = raw(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, as_arg(&program));
  return {result, to_status(__NR_seccomp, result)};
}

inline Status prlimit(unsigned resource, std::uint64_t soft, std::uint64_t hard) {
  const std::uint64_t limits[2] = {soft, hard};
  return to_status(__NR_prlimit64, raw(__NR_prlimit64, 0, resource, as_arg(&limits), 0));
}

inline Status getrlimit(unsigned resource, std::uint64_t limits[2]) {
  return to_status(__NR_prlimit64, raw(__NR_prlimit64, 0, resource, 0, as_arg(limits)));
}

inline Status join_session_keyring() { return to_status(__NR_keyctl, raw(__NR_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, 0)); }

inline Status umask(unsigned mask) { return to_status(__NR_umask, raw(__NR_umask, mask)); }

}  // namespace nsjs::sys
