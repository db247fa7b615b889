// The loop over one section of the plan.
#pragma once
#include <sys/resource.h>

#include "context.h"

namespace nsjs {

struct Failure {
  std::uint32_t step = 0;
  Status status;
};

// Runs the section in order; an optional operation that fails is reported and left out.
Failure run(Context& context, Section section);
// As run(), but goes on after a failure: cleaning up must reach every step. Returns the first failure.
Failure run_all(Context& context, Section section);

// Sends a file below the host's /proc as text, in parts; `step` says which one it is.
Status send_file(const Context& context, Section section, std::uint32_t step, const char* path);

// What the keeper tells at the end goes to Node in as few messages as it fits into: Node wakes up once.
Status tell_last(const Record& record, const char* text, std::size_t size);
// Sends what has been told.
Status send_last();

// What the process and those it has waited for have used.
void tell_usage(Record& record, const struct rusage& usage);

void report(const Context& context, Section section, const Failure& failure, RecordKind kind = RecordKind::kFailed);

}  // namespace nsjs
