// What replaces the functions of CUDA's runtime by which CuPy reaches the driver. Each
// has the signature of CuPy's own; the last argument of most is Cython's.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "driver.h"

// Of Python's C interface, whose headers need not be there.
struct PyObject;
extern "C" {
extern PyObject _Py_NoneStruct;
void Py_IncRef(PyObject*);
PyObject* Py_BuildValue(const char*, ...);
PyObject* PyErr_NoMemory();
PyObject* PyErr_Format(PyObject*, const char*, ...);
PyObject* PyImport_ImportModule(const char*);
PyObject* PyObject_CallMethod(PyObject*, const char*, const char*, ...);
}
using Address = intptr_t;

static PyObject* none() {
  Py_IncRef(&_Py_NoneStruct);
  return &_Py_NoneStruct;
}
static PyObject* waited() {
  emu_counts.synchronizations++;
  return none();
}

enum { HOST_TO_DEVICE = 1, DEVICE_TO_HOST = 2, DEVICE_TO_DEVICE = 3 };
enum {
  MOST_THREADS = 1, BLOCK_X = 2, GRID_X = 5, BLOCK_SHARED = 8, WARP = 10, REGISTERS = 12,
  PROCESSORS = 16, PROCESSOR_THREADS = 39, MAJOR = 75, MINOR = 76, PROCESSOR_SHARED = 81,
  PROCESSOR_REGISTERS = 82, COOPERATIVE = 95, OPT_IN_SHARED = 97,
};
static int attribute(int which, int, int) {
  switch (which) {
    case MOST_THREADS: case BLOCK_X: return THREADS_A_BLOCK;
    case GRID_X: return INT32_MAX;
    case BLOCK_SHARED: return SHARED_A_BLOCK;
    case WARP: return 32;
    case REGISTERS: case PROCESSOR_REGISTERS: return 65536;
    case PROCESSORS: return multiprocessors();
    case PROCESSOR_THREADS: return THREADS_A_MULTIPROCESSOR;
    case MAJOR: return 9;
    case MINOR: return 0;
    case PROCESSOR_SHARED: return SHARED_A_MULTIPROCESSOR;
    case COOPERATIVE: return 1;
    case OPT_IN_SHARED: return MOST_SHARED;
    default: return 0;
  }
}
static PyObject* properties(int, int) {
  return Py_BuildValue("{s:y,s:i,s:i,s:i,s:i,s:i,s:n}", "name", "emulated on a CPU",
                       "major", 9, "minor", 0, "multiProcessorCount", multiprocessors(),
                       "warpSize", 32, "maxThreadsPerBlock", THREADS_A_BLOCK,
                       "sharedMemPerBlockOptin", (size_t)MOST_SHARED);
}
static PyObject* memory(int) {
  size_t gib = (size_t)1 << 30;
  return Py_BuildValue("(nn)", 70 * gib, 80 * gib);
}

static Address allocate(size_t size, int) {
  void* memory = aligned_alloc(512, (size + 511) / 512 * 512);
  if (!memory) return PyErr_NoMemory(), 0;
  emu_counts.allocations++;
  memset(memory, POISON, size);
  return (Address)memory;
}
static Address allocate_async(size_t size, Address, int) { return allocate(size, 0); }
static PyObject* release(Address memory, int) {
  free((void*)memory);
  return none();
}
static PyObject* release_async(Address memory, Address, int) { return release(memory, 0); }
static Address host_allocate(size_t size, unsigned, int) { return (Address)malloc(size); }

static PyObject* copy_async(Address to, Address from, size_t size, int kind, Address, int) {
  if (kind == DEVICE_TO_DEVICE) count_launch("copy");
  else emu_counts.copies++;
  memmove((void*)to, (void*)from, size);
  return none();
}
static PyObject* copy(Address to, Address from, size_t size, int kind, int) {
  if (kind != DEVICE_TO_DEVICE) emu_counts.synchronizations++;
  return copy_async(to, from, size, kind, 0, 0);
}
static PyObject* fill_async(Address to, int value, size_t size, Address, int) {
  count_launch("fill");
  memset((void*)to, value, size);
  return none();
}
static PyObject* fill(Address to, int value, size_t size, int) {
  return fill_async(to, value, size, 0, 0);
}
static PyObject* pointer_attributes(Address pointer, int) {
  static PyObject* module = PyImport_ImportModule("cupy_backends.cuda.api.runtime");
  return PyObject_CallMethod(module, "PointerAttributes", "inni", 0, pointer, pointer, 2);
}

static PyObject* ensure_context() { return none(); }
static PyObject* with_int(int, int) { return none(); }
static PyObject* with_one(Address, int) { return none(); }
static PyObject* with_two(Address, Address, int) { return none(); }
static PyObject* wait_all(int) { return waited(); }
static PyObject* wait_for(Address, int) { return waited(); }
static int zero(int) { return 0; }
static int one(int) { return 1; }
static int zero_of(Address, int) { return 0; }
static int no_peer(int, int, int) { return 0; }
static int major(int) { return 12; }
static int driver_version(int) { return 13000; }
static int runtime_version(int) { return 12090; }
static float elapsed(Address, Address, int) { return 1; }
// Streams and events: all work is done when a call returns.
static Address handle(int) { return 1; }
static Address handle_of(unsigned, int) { return 1; }
static Address handle_of_two(unsigned, int, int) { return 1; }

struct Replacement { const char* name; void* function; };
extern "C" const Replacement emu_runtime[] = {
    {"_ensure_context", (void*)ensure_context},
    {"_getCUDAMajorVersion", (void*)major},
    {"deviceCanAccessPeer", (void*)no_peer},
    {"deviceGetAttribute", (void*)attribute},
    {"deviceSynchronize", (void*)wait_all},
    {"driverGetVersion", (void*)driver_version},
    {"eventCreate", (void*)handle},
    {"eventCreateWithFlags", (void*)handle_of},
    {"eventDestroy", (void*)with_one},
    {"eventElapsedTime", (void*)elapsed},
    {"eventQuery", (void*)with_one},
    {"eventRecord", (void*)with_two},
    {"eventSynchronize", (void*)wait_for},
    {"free", (void*)release},
    {"freeAsync", (void*)release_async},
    {"freeHost", (void*)release},
    {"getDevice", (void*)zero},
    {"getDeviceCount", (void*)one},
    {"getDeviceProperties", (void*)properties},
    {"hostAlloc", (void*)host_allocate},
    {"malloc", (void*)allocate},
    {"mallocAsync", (void*)allocate_async},
    {"memGetInfo", (void*)memory},
    {"memcpy", (void*)copy},
    {"memcpyAsync", (void*)copy_async},
    {"memset", (void*)fill},
    {"memsetAsync", (void*)fill_async},
    {"pointerGetAttributes", (void*)pointer_attributes},
    {"pointerGetMemoryType", (void*)zero_of},
    {"runtimeGetVersion", (void*)runtime_version},
    {"setDevice", (void*)with_int},
    {"streamCreate", (void*)handle},
    {"streamCreateWithFlags", (void*)handle_of},
    {"streamCreateWithPriority", (void*)handle_of_two},
    {"streamDestroy", (void*)with_one},
    {"streamIsCapturing", (void*)zero_of},
    {"streamQuery", (void*)with_one},
    {"streamSynchronize", (void*)wait_for},
    {nullptr, nullptr},
};
