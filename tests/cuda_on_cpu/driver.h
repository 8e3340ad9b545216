// What the pretended driver, its threads and its runtime share.
#pragma once
#include <cstdlib>
#include <string>

#include "threads.h"

enum Status {
  SUCCESS = 0, INVALID_VALUE = 1, INVALID_IMAGE = 200, NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700, LAUNCH_TIMEOUT = 702, MISALIGNED_ADDRESS = 716,
  LAUNCH_FAILED = 719, COOPERATIVE_LAUNCH_TOO_LARGE = 720, NOT_SUPPORTED = 801,
};
// Memory that nobody has written is full of this byte, which makes a float NaN.
const int POISON = 0xFF;
// The device is an NVIDIA H100, but for having few multiprocessors, which is quicker;
// the variable EMU_MULTIPROCESSORS says how many.
const int SHARED_A_BLOCK = 48 << 10, MOST_SHARED = 227 << 10,
          SHARED_A_MULTIPROCESSOR = 228 << 10, THREADS_A_MULTIPROCESSOR = 2048,
          THREADS_A_BLOCK = 1024;
inline int multiprocessors() {
  const char* said = getenv("EMU_MULTIPROCESSORS");
  return said ? atoi(said) : 5;
}

inline int volume(uint3 size) { return size.x * size.y * size.z; }
inline uint3 position(unsigned number, uint3 size) {
  return {number % size.x, number / size.x % size.y, number / size.x / size.y};
}

// How a kernel's threads are run, as its source decides.
enum Kind {
  ALONE,     // it strides over the grid: one thread does the work of all
  IN_TURN,   // no thread waits for another: one after the other
  TOGETHER,  // each on a stack of its own
};

struct Kernel {
  std::string name;
  void (*entry)(void**);
  int kind;
  char *statics, *statics_end;  // its static shared memory
  int most_shared;              // dynamic, bytes
};

struct Counts { long launches, synchronizations, copies, allocations; };
extern "C" Counts emu_counts;
void count_launch(const char* name);

// Returns a Status. together: all blocks at once, or one after the other.
int run_threads(const Kernel& kernel, unsigned shared, void** args, bool together);
const char* failure_reason();
