// Runs the operations of one section of the plan.
#pragma once
#include <sys/resource.h>

#include "context.h"

namespace nsjs {

struct Failure {
  std::uint32_t step = 0;
  Status status;
};

// Runs the section in order. An optional operation that fails is reported and skipped.
Failure run(Context& context, Section section);
// Like run(), but continues after a failure, because a clean-up must reach every step. Returns the first failure.
Failure run_all(Context& context, Section section);

// Sends a file below the host's /proc as text, in parts; `step` identifies it.
Status send_file(const Context& context, Section section, std::uint32_t step, const char* path);

// Adds a record to the last message of the keeper. The records at the end are sent in as few messages as possible, so
// that Node wakes up once.
Status tell_last(const Record& record, const char* text, std::size_t size);
// Sends the collected records.
Status send_last();

// Fills in the resource usage of a process and of the children that it has waited for.
void tell_usage(Record& record, const struct rusage& usage);

void report(const Context& context, Section section, const Failure& failure, RecordKind kind = RecordKind::kFailed);

}  // namespace nsjs
