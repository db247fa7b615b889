// Tests the plan reader and file operations, built with a C library under AddressSanitizer and UBSan: every bit of a
// valid plan is changed in turn, the plan is truncated to every length, and random plans are read. The texts of an
// accepted plan are read completely.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "../../src/launch/path.h"
#include "../../src/plan/reader.h"

namespace {

int passed = 0;
int failed = 0;

void check(bool ok, const char* what) {
  (ok ? passed : failed)++;
  if (!ok) std::printf("failed: %s\n", what);
}

struct Bytes {
  alignas(8) unsigned char data[4096];
  std::size_t size = 0;
};

constexpr std::uint32_t kText = sizeof(nsjs::Header) + sizeof(nsjs::Op);

// Returns a plan with one operation in the section `inside`, which has a text argument.
Bytes good_plan() {
  Bytes plan{};
  const nsjs::Header header{nsjs::kMagic, kText + 12, {0, 1, 0, 0, 0, 0}, 0, kText, {}};
  nsjs::Op op{nsjs::OpCode::SetHostname, 0, {kText}};
  const unsigned length = 3;
  std::memcpy(plan.data, &header, sizeof header);
  std::memcpy(plan.data + sizeof header, &op, sizeof op);
  std::memcpy(plan.data + kText, &length, 4);
  std::memcpy(plan.data + kText + 4, "box", 4);
  plan.size = header.size;
  return plan;
}

// Copies the plan to a heap buffer of the exact size, so that the sanitizer detects a read beyond it.
bool parses(const unsigned char* data, std::size_t size) {
  auto* exact = static_cast<unsigned char*>(std::malloc(size == 0 ? 1 : size));
  std::memcpy(exact, data, size);
  nsjs::Plan plan;
  const bool ok = plan.parse(exact, size);
  std::size_t seen = 0;
  if (ok) {
    for (const auto section : {nsjs::kHost, nsjs::kInside, nsjs::kBeside, nsjs::kProgram, nsjs::kEnd, nsjs::kAfter}) {
      const nsjs::Ops ops = plan.ops(section);
      for (unsigned step = 0; step < ops.count; ++step)
        if (ops.first[step].code == nsjs::OpCode::SetHostname) seen += std::strlen(plan.text(ops.first[step].arg[0]).data);
    }
  }
  std::free(exact);
  return ok && seen < 4096;
}

void test_reader() {
  const Bytes plan = good_plan();
  check(parses(plan.data, plan.size), "a good plan is read");
  for (std::size_t size = 0; size < plan.size; ++size) check(!parses(plan.data, size), "a plan that is cut short is refused");
  for (std::size_t at = 0; at < plan.size; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes broken = plan;
      broken.data[at] ^= static_cast<unsigned char>(1 << bit);
      (void)parses(broken.data, broken.size);
    }
  }
  passed++;  // otherwise the sanitizer would have aborted this program
}

void test_random_plans() {
  std::srand(1);
  for (int round = 0; round < 200000; ++round) {
    Bytes plan = good_plan();
    for (int change = 0; change < 1 + round % 6; ++change)
      plan.data[static_cast<std::size_t>(std::rand()) % plan.size] = static_cast<unsigned char>(std::rand());
    (void)parses(plan.data, plan.size);
  }
  passed++;
}

void test_wrong_arguments() {
  const auto with = [](auto change) {
    Bytes plan = good_plan();
    change(*reinterpret_cast<nsjs::Header*>(plan.data), *reinterpret_cast<nsjs::Op*>(plan.data + sizeof(nsjs::Header)));
    return parses(plan.data, plan.size);
  };
  check(!with([](auto&, auto& op) { op.code = nsjs::OpCode::kCount; }), "an unknown operation is refused");
  check(!with([](auto&, auto& op) { op.arg[0] = 65; }), "a text that is not aligned is refused");
  check(!with([](auto&, auto& op) { op.arg[0] = 0; }), "a text in the header is refused");
  check(!with([](auto&, auto& op) { op.arg[0] = 0xfffffffc; }), "a text beyond the end is refused");
  check(!with([](auto&, auto& op) { op = {nsjs::OpCode::Hold, 0, {nsjs::kMaxSlots}}; }), "a slot out of range is refused");
  check(with([](auto&, auto& op) { op = {nsjs::OpCode::Hold, 0, {nsjs::kNoSlot}}; }), "no slot is a slot");
  check(!with([](auto& header, auto&) { header.count[0] = 0xffffffff; }), "a count that overflows is refused");
  check(!with([](auto& header, auto&) { header.fds = nsjs::kMaxPassedFds + 1; }), "too many descriptors are refused");
}

void test_paths() {
  const auto root = nsjs::sys::openat(nsjs::sys::kCwd, "/", O_PATH | O_DIRECTORY);
  const auto parent = nsjs::resolve_parent(root.value.get(), "/usr/bin");
  check(parent.ok() && std::string(parent.value.name) == "bin", "a path is split at its last slash");
  check(nsjs::resolve_parent(root.value.get(), "/usr").ok(), "a path of one name has the root as its parent");
  check(nsjs::resolve_parent(root.value.get(), std::string("/" + std::string(5000, 'a') + "/b").c_str()).status.err == ENAMETOOLONG,
        "a long path is refused");
  check(nsjs::resolve(root.value.get(), "/proc/self", 0).status.err == ELOOP, "no link is followed inside a root");
  check(nsjs::resolve(root.value.get(), "/../../etc", O_DIRECTORY).ok(), "the parent of the root is the root");
  check(std::string(nsjs::ProcPath(2147483647, "uid_map").text) == "/proc/2147483647/uid_map", "the path of a process is written");
  check(std::strlen(nsjs::ProcPath(1, std::string(200, 'x').c_str()).text) < 64, "a long name does not overflow");
}

}  // namespace

int main() {
  test_reader();
  test_random_plans();
  test_wrong_arguments();
  test_paths();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
