// A CUDA thread, its warp and its block, as kernels and the driver see them.
#pragma once
#include <cstdint>
#include <vector>

struct uint3 { unsigned x, y, z; };

// What `members` threads meet at. Each meeting of all of them is a turn.
struct Barrier { int members, arrived; unsigned turn; };

struct Product { float a[16][16], b[16][8], c[16][8]; };

// Lanes exchange through memory of which each turn has one half: nobody is two turns
// ahead of another. `meeting` says for what they meet.
struct Warp {
  Barrier barrier;
  const char* meeting;
  uint64_t words[2][32];
  Product products[2];
};

struct Block {
  uint3 index;
  Barrier barrier;
  std::vector<Warp> warps;
  char* shared;
  Barrier named[16];  // of some of its warps
};

// Of memory that a thread has asked for, made at once or when it waits; from null it is 0.
struct Copy { void* to; const void* from; int size; unsigned group; };

struct Thread {
  uint3 index;
  int lane;
  Warp* warp;
  Block* block;
  void* stack;           // where it is to go on
  const Barrier* waits;  // null, or what it waits at, for the turn after `turn`
  unsigned turn;
  bool ended;
  std::vector<Copy> copies;
  unsigned group;        // of copies, that is open
};

extern "C" {
extern uint3 emu_block_size, emu_grid_size;
extern Thread* emu_thread;  // the one that runs
void emu_yield();           // let others run: in every loop that waits for memory
void emu_syncthreads();
void emu_syncwarp();
void emu_syncwarps(int name, int threads);  // as bar.sync: so many threads of a block
// Each lane's word; until the exchange after the next.
const uint64_t* emu_exchange(const char* what, uint64_t mine);
void emu_mma_tf32_16x8x8(float c[4], const unsigned a[4], const unsigned b[2]);
void emu_mma_bf16_16x8x16(float c[4], const unsigned a[4], const unsigned b[2]);
unsigned emu_bf16(float x);  // rounded as cvt.rn.bf16 does
// Copies in groups, which are there once the thread waits for all but the last so many.
void emu_copy(void* to, const void* from, int size);
void emu_close_copies();
void emu_wait_copies(unsigned but);
char* emu_shared();         // the block's dynamic shared memory
void emu_trap();
}
