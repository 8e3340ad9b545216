// CUDA threads as fibers of one CPU thread: each runs until it has to wait, and the
// variable EMU_ORDER says which is next: 0, reverse, or the seed of a random order.
#include "threads.h"

#include <sys/mman.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <random>
#include <string>

#include "driver.h"

extern "C" {
uint3 emu_block_size, emu_grid_size;
Thread* emu_thread;
void emu_switch(void** from, void* to);
}
// Keep what a function must keep on the stack, and go on on another.
asm(R"(
.globl emu_switch
emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

static const int WARP = 32;
// Not a power of two, so that stacks do not all lie in the same lines of the cache.
static const size_t STACK = (64 << 10) + 17 * 64;
static const int IDLE_ROUNDS = 1000;  // without any progress, until it is a deadlock
static const int GUARD = 4096;  // bytes behind a block's shared memory, not to be written
static void* scheduler;               // its stack
static void (*entry)(void**);
static void** arguments;
static std::vector<Thread> threads;
static bool progress;  // whether any thread has met others or ended
static bool copies_at_once;  // or only when they are waited for: a device may do either
static int failure;
static std::string reason;

static int block_size() { return volume(emu_block_size); }

static void leave() { emu_switch(&emu_thread->stack, scheduler); }

extern "C" void emu_yield() { leave(); }

static void fail(int code, const std::string& why) {
  failure = code;
  reason = why;
  leave();  // for good
}

extern "C" void emu_trap() { fail(LAUNCH_FAILED, "a kernel called __trap()"); }

static void on_fault(int) { fail(ILLEGAL_ADDRESS, "an illegal address was used"); }

// Where an access is no multiple of its size, g++ has the kernel trap; see build.py.
static void on_misaligned(int) {
  fail(MISALIGNED_ADDRESS, "an address is no multiple of what is accessed there");
}

static void meet(Barrier& barrier) {
  progress = true;
  if (++barrier.arrived == barrier.members) {
    barrier.arrived = 0;
    barrier.turn++;
  } else {
    emu_thread->waits = &barrier;
    emu_thread->turn = barrier.turn;
  }
  leave();
}

// A thread that has ended is waited for no longer.
static void withdraw(Barrier& barrier) {
  if (--barrier.members && barrier.arrived == barrier.members) {
    barrier.arrived = 0;
    barrier.turn++;
  }
}

extern "C" void emu_syncthreads() { meet(emu_thread->block->barrier); }

extern "C" void emu_syncwarps(int name, int threads) {
  Barrier& barrier = emu_thread->block->named[name];
  barrier.members = threads;
  meet(barrier);
}

static void meet_warp(const char* what) {
  Warp& warp = *emu_thread->warp;
  if (warp.barrier.arrived && warp.meeting != what && strcmp(warp.meeting, what))
    fail(LAUNCH_FAILED, std::string("threads of a warp meet at ") + warp.meeting +
                            " and at " + what);
  warp.meeting = what;
  meet(warp.barrier);
}

extern "C" void emu_syncwarp() { meet_warp("__syncwarp"); }

extern "C" const uint64_t* emu_exchange(const char* what, uint64_t mine) {
  Warp& warp = *emu_thread->warp;
  uint64_t* words = warp.words[warp.barrier.turn & 1];
  words[emu_thread->lane] = mine;
  meet_warp(what);
  return words;
}

// As the hardware reads a float: the lower 13 bits are not there.
static float tf32(unsigned bits) {
  float value;
  bits &= ~0x1fffu;
  memcpy(&value, &bits, sizeof value);
  return value;
}

extern "C" unsigned emu_bf16(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static float of_bf16(unsigned half) {
  const unsigned bits = half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static void multiply(Product& p, int terms) {
  for (int row = 0; row < 16; row++) {
    double sums[8];
    for (int j = 0; j < 8; j++) sums[j] = p.c[row][j];
    for (int k = 0; k < terms; k++)
      for (int j = 0; j < 8; j++) sums[j] += (double)p.a[row][k] * p.b[k][j];
    for (int j = 0; j < 8; j++) p.c[row][j] = (float)sums[j];
  }
}

// c += a b of so many terms, once every lane has set its parts; the lane that comes last
// multiplies for all.
template <class Set>
static void mma(float c[4], int terms, Set set) {
  Warp& warp = *emu_thread->warp;
  if (warp.barrier.members != WARP) fail(LAUNCH_FAILED, "mma in a warp that is not whole");
  Product& p = warp.products[warp.barrier.turn & 1];
  const int group = emu_thread->lane / 4, t = emu_thread->lane % 4;
  for (int i = 0; i < 4; i++) p.c[group + i / 2 * 8][2 * t + i % 2] = c[i];
  set(p, group, t);
  if (warp.barrier.arrived == WARP - 1) multiply(p, terms);
  meet_warp("mma");
  for (int i = 0; i < 4; i++) c[i] = p.c[group + i / 2 * 8][2 * t + i % 2];
}

// The parts are those that the PTX manual gives each lane under mma.m16n8k8.
extern "C" void emu_mma_tf32_16x8x8(float c[4], const unsigned a[4],
                                    const unsigned b[2]) {
  mma(c, 8, [&](Product& p, int group, int t) {
    for (int i = 0; i < 4; i++) p.a[group + i % 2 * 8][t + i / 2 * 4] = tf32(a[i]);
    for (int i = 0; i < 2; i++) p.b[t + 4 * i][group] = tf32(b[i]);
  });
}

// Likewise mma.m16n8k16: a word's lower half is the first of two terms.
extern "C" void emu_mma_bf16_16x8x16(float c[4], const unsigned a[4],
                                     const unsigned b[2]) {
  mma(c, 16, [&](Product& p, int group, int t) {
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 4; i++)
        p.a[group + i % 2 * 8][2 * t + i / 2 * 8 + half] = of_bf16(a[i] >> 16 * half & 0xffff);
      for (int i = 0; i < 2; i++)
        p.b[2 * t + 8 * i + half][group] = of_bf16(b[i] >> 16 * half & 0xffff);
    }
  });
}

static void make(const Copy& copy) {
  if (copy.from) memcpy(copy.to, copy.from, copy.size);
  else memset(copy.to, 0, copy.size);
}

extern "C" void emu_copy(void* to, const void* from, int size) {
  if (((uintptr_t)to | (uintptr_t)from) % size) on_misaligned(0);
  const Copy copy = {to, from, size, emu_thread->group};
  if (copies_at_once) make(copy);
  else emu_thread->copies.push_back(copy);
}

extern "C" void emu_close_copies() { emu_thread->group++; }

extern "C" void emu_wait_copies(unsigned but) {
  std::vector<Copy>& copies = emu_thread->copies;
  auto open = copies.begin();
  for (; open != copies.end() && open->group + but < emu_thread->group; ++open)
    make(*open);
  copies.erase(copies.begin(), open);
}

extern "C" char* emu_shared() { return emu_thread->block->shared; }

static void body() {
  entry(arguments);
  emu_thread->ended = progress = true;
  withdraw(emu_thread->block->barrier);
  withdraw(emu_thread->warp->barrier);
  leave();
}

static void prepare(Thread& thread, Block& block, int number, char* top) {
  thread = {position(number, emu_block_size), number % WARP, &block.warps[number / WARP],
            &block};
  void** stack = (void**)top;
  *--stack = nullptr;  // where body() would return to; keeps the stack aligned
  *--stack = (void*)body;
  thread.stack = stack - 6;  // what emu_switch takes off it
}

static char* stacks(size_t count) {
  static char* memory;
  static size_t size;
  if (size < count * STACK) {
    if (size) munmap(memory, size);
    size = count * STACK;
    int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    memory = (char*)mmap(nullptr, size, PROT_READ | PROT_WRITE, kind, -1, 0);
    if (memory == MAP_FAILED) abort();
  }
  return memory;
}

// Run a thread until it has to wait, if it need not.
static void step(Thread& thread) {
  if (thread.ended || (thread.waits && thread.waits->turn == thread.turn)) return;
  thread.waits = nullptr;
  emu_thread = &thread;
  emu_switch(&scheduler, thread.stack);
}

// Threads that lag behind until the others can get no further without them: one thread,
// warp or block, or half of them; or of these warps or blocks all threads but the first,
// which often does something for all.
struct Laggards {
  bool half, followers;
  size_t width, one, salt;

  Laggards(std::mt19937& random, unsigned kind) : half(kind & 1), followers(kind & 2) {
    const size_t widths[] = {(size_t)block_size(), WARP, 1};
    width = widths[random() % (followers ? 2 : 3)];
    one = random() % threads.size() / width;
    salt = random();
  }
  bool has(size_t thread) const {
    const size_t unit = thread / width;
    const bool of_these = half ? (unit + 1) * salt >> 16 & 1 : unit == one;
    return of_these && !(followers && thread % width == 0);
  }
};

// Run the threads of a warp that are wanted as far as they get; return whether any got
// further.
template <class Wanted>
static bool run_warp(size_t number, bool backwards, Wanted wanted) {
  const size_t in_block = (block_size() + WARP - 1) / WARP, place = number % in_block * WARP;
  const size_t first = number / in_block * block_size() + place;
  const size_t count = std::min<size_t>(WARP, block_size() - place);
  bool further = false;
  do {
    progress = false;
    for (size_t k = 0; k < count && !failure; k++) {
      size_t i = first + (backwards ? count - 1 - k : k);
      if (wanted(i)) step(threads[i]);
    }
    further |= progress;
  } while (progress && !failure);
  return further;
}

// The same of every warp, one after the other, from one of them on.
template <class Wanted>
static bool run_warps(size_t from, bool backwards, Wanted wanted) {
  const size_t in_block = (block_size() + WARP - 1) / WARP;
  const size_t count = threads.size() / block_size() * in_block;
  bool further = false;
  for (size_t k = 0; k < count && !failure; k++)
    further |= run_warp((from + (backwards ? count - 1 - k : k)) % count, backwards, wanted);
  return further;
}

static bool round_at_random(std::mt19937& random, Laggards& laggards) {
  if (random() % 64 == 0) laggards = Laggards(random, random());
  const size_t from = random();
  const bool backwards = random() % 2;
  bool further = false;
  while (run_warps(from, backwards, [&](size_t i) { return !laggards.has(i); }))
    further = true;
  for (size_t i = 0; i < threads.size() && !failure; i++)
    if (laggards.has(i)) progress = false, step(threads[i]), further |= progress;
  return further;
}

static void run_all() {
  const char* order = getenv("EMU_ORDER");
  const bool reversed = order && !strcmp(order, "reverse");
  const unsigned seed = order ? atoi(order) : 0;
  copies_at_once = seed & 1;
  std::mt19937 random(seed);
  Laggards laggards(random, seed);  // so that neighbouring seeds have every kind
  auto alive = [](const Thread& thread) { return !thread.ended; };
  for (int idle = 0; !failure && std::any_of(threads.begin(), threads.end(), alive);) {
    bool further = seed ? round_at_random(random, laggards)
                        : run_warps(0, reversed, [](size_t) { return true; });
    idle = further ? 0 : idle + 1;
    if (idle == IDLE_ROUNDS && !failure) {
      auto waiting = std::count_if(threads.begin(), threads.end(), alive);
      failure = LAUNCH_TIMEOUT;
      reason = "deadlock: " + std::to_string(waiting) + " of " +
               std::to_string(threads.size()) + " threads wait for ever";
    }
  }
}

static Block new_block(int number, unsigned shared) {
  int size = block_size();
  Block block{position(number, emu_grid_size), {size, 0, 0}};
  block.warps.resize((size + WARP - 1) / WARP);
  for (int w = 0; WARP * w < size; w++)
    block.warps[w].barrier = {std::min(WARP, size - WARP * w), 0, 0};
  block.shared = (char*)aligned_alloc(128, (shared + GUARD + 127) / 128 * 128);
  memset(block.shared, POISON, shared + GUARD);
  return block;
}

static void run_blocks(int first, int count, unsigned shared) {
  std::vector<Block> blocks;
  for (int b = 0; b < count; b++) blocks.push_back(new_block(first + b, shared));
  threads.resize(count * block_size());
  char* top = stacks(threads.size());
  for (size_t i = 0; i < threads.size(); i++)
    prepare(threads[i], blocks[i / block_size()], i % block_size(), top += STACK);
  run_all();
  for (Block& block : blocks) {
    char* end = block.shared + shared;
    auto written = [](char byte) { return byte != (char)POISON; };
    if (!failure && std::any_of(end, end + GUARD, written)) {
      failure = ILLEGAL_ADDRESS;
      reason = "more shared memory was used than asked for";
    }
    free(block.shared);
  }
}

static void poison(const Kernel& kernel) {
  memset(kernel.statics, POISON, kernel.statics_end - kernel.statics);
}

static void handle(int signal, void (*handler)(int), struct sigaction* before) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_NODEFER;
  sigaction(signal, &action, before);
}

int run_threads(const Kernel& kernel, unsigned shared, void** args, bool together) {
  struct sigaction before[2];
  handle(SIGSEGV, on_fault, &before[0]);
  handle(SIGILL, on_misaligned, &before[1]);
  entry = kernel.entry;
  arguments = args;
  failure = 0;
  int count = volume(emu_grid_size);
  for (int b = 0; b < count && !failure; b += together ? count : 1) {
    poison(kernel);
    run_blocks(b, together ? count : 1, shared);
  }
  sigaction(SIGSEGV, &before[0], nullptr);
  sigaction(SIGILL, &before[1], nullptr);
  return failure;
}

const char* failure_reason() { return reason.c_str(); }
