// The only assembly in nsjs: one system call, x64 and arm64. Returns what the kernel returns (-errno on failure).
#pragma once

namespace nsjs::sys {

inline long kernel(long nr, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = nr;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "nsjs supports x86_64 and aarch64"
#endif
}

#ifdef NSJS_FAULT
// In the test build the n-th call of one process fails (test/native/fault.cc).
long raw(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);
#else
inline long raw(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) { return kernel(nr, a, b, c, d, e, f); }
#endif

template <class T>
long as_arg(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

}  // namespace nsjs::sys
