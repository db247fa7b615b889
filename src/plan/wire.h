// The wire format between TypeScript (lib/plan/writer.ts) and the launcher, and the records that come back.
// Little-endian 32-bit words: Header, then all operations section by section, then the text.
#pragma once
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
constexpr unsigned kMaxPrograms = 256;  // of one sandbox at a time

struct Header {
  std::uint32_t magic;
  std::uint32_t size;              // of the whole plan, in bytes
  std::uint32_t count[kSections];  // operations in each section
  std::uint32_t fds;               // descriptors passed beside the plan: slots 0 … fds-1
  std::uint32_t text;              // offset of the text
  std::uint32_t reserved[6];
};

struct Op {
  OpCode code;
  std::uint16_t optional;  // 0: failure ends the set-up. n: failure is reported, this and the next n-1 operations are left out
  std::uint32_t arg[kOpArgs];
};
static_assert(sizeof(Header) == 64 && sizeof(Op) == 32);

enum class RecordKind : std::uint32_t {
  kStarted = 1,  // from init: the program runs; id[] holds namespace inodes
  kFailed,       // from any: section, step, err, nr
  kDropped,      // from any: an optional operation failed
  kExited,       // from init: waitid of the program
  kText,         // from the keeper: ReadFile; the text follows the record
  kEnded,        // from the keeper: all is gone and cleaned; usage of the whole sandbox
  kOpened,       // from init: the sandbox is ready for programs; a descriptor of each namespace is beside it
  kWaiting,      // from a program's child to init alone: `beside` is done
  kFd,           // from init: a descriptor is beside it; `status` says which
  kEnding,       // from the keeper: all of it is being killed
};

// The limit that the launcher ended it for.
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
  std::int32_t size;    // bytes of text behind the record
  std::uint64_t user_us;
  std::uint64_t system_us;
  std::uint64_t max_rss_kb;
  std::uint64_t id[kNamespaces];
  std::uint64_t faults[2];    // page faults: without and with a read from the disk
  std::uint64_t blocks[2];    // of 512 bytes: read, written
  std::uint64_t switches[2];  // context switches: it waited, it was preempted
  std::uint32_t program;      // which one, as Node numbered it
  Cause cause;                // what the launcher ended it for
};
static_assert(sizeof(Record) == 176);

// Descriptors of the launcher as the addon places them; the program's own numbers lie below.
constexpr int kFirstFd = 64;
constexpr int kControlFd = kFirstFd;  // to Node: the keeper's channel, and its lifeline
constexpr int kPlanFd = kFirstFd + 1;
constexpr int kNodeFd = kFirstFd + 2;  // pidfd of Node
constexpr int kInitFd = kFirstFd + 3;  // to Node: init's channel
constexpr int kSlotFd = kFirstFd + 4;  // slot 0
constexpr unsigned kMaxPassedFds = 64;
constexpr std::size_t kTextPart = 3072;  // bytes of text behind one record
// A message is one record, or several at multiples of eight bytes, each with its text behind it.
constexpr std::size_t kMaxMessage = 8192;

// What Node writes into the channels.
enum class Command : std::uint32_t {
  kKill = 1,  // keeper: ends the sandbox
  kSignal,    // init: sends signal `value` to `program`
  kSpawn,     // init: a plan and what it passes are beside it; its `inside` section starts `program`
  kPause,     // init: stops every process but itself (`value` 1), or lets them go on
  kClock,     // keeper: its clock starts
};

constexpr std::uint32_t kEveryone = 0xffffffff;  // as `program` of kSignal

struct Request {
  Command command;
  std::uint32_t program;
  std::uint32_t value;
};
static_assert(sizeof(Request) == 12);

}  // namespace nsjs
