// The wire format between TypeScript (lib/plan/writer.ts) and the launcher, and the records that the launcher sends
// back. Little-endian 32-bit words: Header, then all operations section by section, then the text.
#pragma once
#include <cstddef>
#include <cstdint>

namespace nsjs {

enum class OpCode : std::uint16_t {
#define OP(name, kinds) name,
#include "ops.def"
#undef OP
  kCount
};

enum Section : std::uint32_t { kHost, kInside, kBeside, kProgram, kEnd, kAfter, kSections };

constexpr std::uint32_t kMagic = 0x324e534e;  // "NSN2"
constexpr std::uint32_t kNoSlot = 0xffffffff;
constexpr unsigned kOpArgs = 7;
constexpr unsigned kMaxSlots = 2048;
constexpr unsigned kMaxPrograms = 256;  // running at a time in one sandbox

struct Header {
  std::uint32_t magic;
  std::uint32_t size;              // of the whole plan, in bytes
  std::uint32_t count[kSections];  // operations in each section
  std::uint32_t fds;               // descriptors passed with the plan: slots 0 … fds-1
  std::uint32_t text;              // offset of the text
  std::uint32_t reserved[6];
};

struct Op {
  OpCode code;
  std::uint16_t optional;  // 0: a failure ends the set-up; n: it is reported, the next n-1 operations are skipped
  std::uint32_t arg[kOpArgs];
};
static_assert(sizeof(Header) == 64 && sizeof(Op) == 32);

enum class RecordKind : std::uint32_t {
  kStarted = 1,  // from init: the program runs; id[] holds namespace inodes
  kFailed,       // from any process: section, step, err, nr
  kDropped,      // from any process: an optional operation failed
  kExited,       // from init: the program has ended; code and status of waitid(2)
  kText,         // a part of a file (ReadFile, SendFile, Verify); the text follows the record
  kEnded,        // from the keeper: everything is removed; usage of the whole sandbox
  kOpened,       // from init: the sandbox is ready for programs; carries a descriptor of each namespace
  kWaiting,      // from a program's child to init only: `beside` is done
  kFd,           // carries a descriptor; `status` identifies it
  kEnding,       // from the keeper: the whole sandbox is being killed
};

// The limit for which the launcher ended a program or the sandbox.
enum class Cause : std::uint32_t { kNone, kWallTime, kCpuTime, kIdle, kMemory };

enum NamespaceId : unsigned { kUser, kMnt, kPid, kNet, kIpc, kUts, kCgroup, kTime, kNamespaces };

struct Record {
  RecordKind kind;
  std::uint32_t section;
  std::uint32_t step;
  std::int32_t err;
  std::uint32_t nr;
  std::int32_t code;    // CLD_EXITED, CLD_KILLED, CLD_DUMPED
  std::int32_t status;  // exit code or signal
  std::int32_t size;    // bytes of text that follow the record
  std::uint64_t user_us;
  std::uint64_t system_us;
  std::uint64_t max_rss_kb;
  std::uint64_t id[kNamespaces];
  std::uint64_t faults[2];    // page faults: without and with a read from the disk
  std::uint64_t blocks[2];    // blocks of 512 bytes: read, written
  std::uint64_t switches[2];  // context switches: voluntary, involuntary
  std::uint32_t program;      // number of the program, assigned by Node
  Cause cause;                // limit for which the launcher ended it
};
static_assert(sizeof(Record) == 176);

// Descriptors of the launcher where the addon places them; the numbers of the program lie below.
constexpr int kFirstFd = 64;
constexpr int kControlFd = kFirstFd;  // the keeper's channel to Node; EOF ends the sandbox
constexpr int kPlanFd = kFirstFd + 1;
constexpr int kNodeFd = kFirstFd + 2;  // pidfd of Node
constexpr int kInitFd = kFirstFd + 3;  // init's channel to Node
constexpr int kSlotFd = kFirstFd + 4;  // slot 0
constexpr unsigned kMaxPassedFds = 64;
constexpr std::size_t kTextPart = 3072;  // most bytes of text that follow one record
// A message is one record, or several at multiples of eight bytes, each followed by its text.
constexpr std::size_t kMaxMessage = 8192;

// Requests that Node writes to the channels.
enum class Command : std::uint32_t {
  kKill = 1,  // keeper: ends the sandbox
  kSignal,    // init: sends signal `value` to `program`
  kSpawn,     // init: carries a plan and its descriptors; the `inside` section starts `program`
  kPause,     // init: stops every process but itself (`value` 1), or resumes them (0)
  kClock,     // keeper: its clock starts
};

constexpr std::uint32_t kEveryone = 0xffffffff;  // as `program` of kSignal: all processes

struct Request {
  Command command;
  std::uint32_t program;
  std::uint32_t value;
};
static_assert(sizeof(Request) == 12);

}  // namespace nsjs
