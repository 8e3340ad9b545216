// A pretended libcuda.so.1: modules are shared objects that g++ has made of CUDA C.
#include "driver.h"

#include <dlfcn.h>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

Counts emu_counts;
static std::vector<const char*> launched;
static std::string failed;  // what the last failure was

void count_launch(const char* name) {
  emu_counts.launches++;
  launched.push_back(name);
}

static int refuse(int status, const std::string& why) {
  failed = why;
  return status;
}

// Threads that never wait need no stacks of their own.
static void run_in_turn(const Kernel& kernel, void** args) {
  Block block{};
  Thread thread{};
  thread.block = &block;
  emu_thread = &thread;
  for (int b = 0; b < volume(emu_grid_size); b++) {
    block.index = position(b, emu_grid_size);
    for (int t = 0; t < volume(emu_block_size); t++) {
      thread.index = position(t, emu_block_size);
      kernel.entry(args);
    }
  }
}

static int blocks_at_once(int threads, size_t shared) {
  int by_threads = THREADS_A_MULTIPROCESSOR / threads;
  int by_shared = SHARED_A_MULTIPROCESSOR / (shared + 1024);
  return by_threads < by_shared ? by_threads : by_shared;
}

static int launch(Kernel& kernel, uint3 grid, uint3 block, unsigned shared, void** args,
                  bool cooperative) {
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> lock(one_at_a_time);
  if (!volume(grid) || !volume(block) || volume(block) > THREADS_A_BLOCK)
    return refuse(INVALID_VALUE, "no such grid or block");
  if ((int)shared > kernel.most_shared)
    return refuse(INVALID_VALUE, "more shared memory than the kernel may have");
  bool many = cooperative && volume(grid) > 1;
  int room = multiprocessors() * blocks_at_once(volume(block), shared);
  if (cooperative && volume(grid) > room)
    return refuse(COOPERATIVE_LAUNCH_TOO_LARGE, "the grid is too large to be at once");
  if (many && kernel.statics != kernel.statics_end)
    return refuse(NOT_SUPPORTED, "emulated, a cooperative kernel's shared memory must "
                                 "be dynamic (extern __shared__)");
  count_launch(kernel.name.c_str());
  emu_grid_size = emu_block_size = {1, 1, 1};
  if (kernel.kind != ALONE) emu_grid_size = grid, emu_block_size = block;
  if (kernel.kind != TOGETHER) return run_in_turn(kernel, args), SUCCESS;
  int status = run_threads(kernel, shared, args, many);
  if (status) failed = kernel.name + ": " + failure_reason();
  return status;
}

extern "C" {
int emu_launched(const char** names, int room) {
  for (int i = 0; i < room; i++) names[i] = launched[i];
  return launched.size();
}
void emu_reset() {
  emu_counts = {};
  launched.clear();
}
void emu_count_launch(const char* name) { count_launch(name); }

int cuGetErrorName(int status, const char** name) {
  static const std::map<int, const char*> names = {
      {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
      {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
      {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
      {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT"},
      {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS"},
      {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
      {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"},
      {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
  };
  auto found = names.find(status);
  *name = found == names.end() ? "CUDA_ERROR_UNKNOWN" : found->second;
  return SUCCESS;
}
int cuGetErrorString(int, const char** text) {
  *text = failed.c_str();
  return SUCCESS;
}
int cuCtxGetCurrent(void** context) {
  *context = (void*)1;
  return SUCCESS;
}
int cuCtxSetCurrent(void*) { return SUCCESS; }
int cuCtxGetDevice(int* device) {
  *device = 0;
  return SUCCESS;
}
int cuStreamGetCtx(void*, void** context) { return cuCtxGetCurrent(context); }

int cuModuleLoadData(void** module, const void* path) {
  *module = dlopen((const char*)path, RTLD_NOW | RTLD_LOCAL);
  return *module ? SUCCESS : refuse(INVALID_IMAGE, dlerror());
}
int cuModuleUnload(void*) { return SUCCESS; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
  auto entry = (void (*)(void**))dlsym(module, ("emu_entry_" + std::string(name)).c_str());
  if (!entry) return refuse(NOT_FOUND, "no kernel " + std::string(name));
  int kind = *(int*)dlsym(module, "emu_kind");
  char** statics = (char**)dlsym(module, "emu_statics");
  *function = new Kernel{name, entry, kind, statics[0], statics[1], SHARED_A_BLOCK};
  return SUCCESS;
}
int cuModuleGetGlobal_v2(void** address, size_t*, void* module, const char* name) {
  *address = dlsym(module, name);
  return *address ? SUCCESS : refuse(NOT_FOUND, "no variable " + std::string(name));
}
int cuLaunchKernel(void* kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, void*, void** args, void**) {
  return launch(*(Kernel*)kernel, {gx, gy, gz}, {bx, by, bz}, shared, args, false);
}
int cuLaunchCooperativeKernel(void* kernel, unsigned gx, unsigned gy, unsigned gz,
                              unsigned bx, unsigned by, unsigned bz, unsigned shared,
                              void*, void** args) {
  return launch(*(Kernel*)kernel, {gx, gy, gz}, {bx, by, bz}, shared, args, true);
}

enum { THREADS = 0, STATIC_SHARED = 1, REGISTERS = 4, DYNAMIC_SHARED = 8 };
int cuFuncGetAttribute(int* value, int which, void* function) {
  auto kernel = (Kernel*)function;
  *value = which == THREADS          ? THREADS_A_BLOCK
           : which == STATIC_SHARED  ? kernel->statics_end - kernel->statics
           : which == DYNAMIC_SHARED ? kernel->most_shared
                                     : 0;
  return SUCCESS;
}
int cuFuncSetAttribute(void* function, int which, int value) {
  if (which != DYNAMIC_SHARED) return SUCCESS;
  if (value > MOST_SHARED) return refuse(INVALID_VALUE, "more shared memory than there is");
  ((Kernel*)function)->most_shared = value;
  return SUCCESS;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* count, void*, int threads,
                                                size_t shared) {
  *count = blocks_at_once(threads, shared);
  return SUCCESS;
}
int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int) {
  *grid = multiprocessors();
  *block = 256;
  return SUCCESS;
}
}
