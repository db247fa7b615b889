// The parts of libstdc++ that the addon needs. It links no library: its other symbols come from the C library of the
// process, so that one file serves glibc and musl, with or without a libstdc++. This file is complete for std::vector,
// the only container in use; scripts/check/binaries.mjs reports a symbol that is missing here.
#include <cstdlib>
#include <new>

// Without C++ exceptions nobody could handle a failed allocation.
void* operator new(std::size_t size) {
  if (void* memory = std::malloc(size); memory != nullptr) return memory;
  std::abort();
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace std {

void __throw_bad_alloc() { abort(); }
void __throw_bad_array_new_length() { abort(); }
void __throw_length_error(const char*) { abort(); }
[[noreturn]] void __glibcxx_assert_fail(const char*, int, const char*, const char*) noexcept { abort(); }

}  // namespace std

extern "C" void __cxa_pure_virtual() { std::abort(); }
