// landlock(7), Linux 5.13: rules for files, ports and signals that a process applies to itself.
#pragma once
#include "file.h"

namespace nsjs::sys {

constexpr unsigned kPathRule = 1;  // LANDLOCK_RULE_PATH_BENEATH
constexpr unsigned kPortRule = 2;  // LANDLOCK_RULE_NET_PORT

struct [[gnu::packed]] PathBeneath {
  std::uint64_t access;
  std::int32_t parent;
};

struct NetPort {
  std::uint64_t access;
  std::uint64_t port;
};

inline Result<Fd> landlock_create_ruleset(const void* attributes, std::size_t size) {
  return to_fd(__NR_landlock_create_ruleset, raw(__NR_landlock_create_ruleset, as_arg(attributes), static_cast<long>(size), 0));
}

inline Status landlock_add_rule(int ruleset, unsigned type, const void* rule) {
  return to_status(__NR_landlock_add_rule, raw(__NR_landlock_add_rule, ruleset, type, as_arg(rule), 0));
}

inline Status landlock_restrict_self(int ruleset) {
  return to_status(__NR_landlock_restrict_self, raw(__NR_landlock_restrict_self, ruleset, 0));
}

}  // namespace nsjs::sys
