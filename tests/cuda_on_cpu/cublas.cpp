// The products of cuBLAS that CuPy calls, by plain loops. Matrices are column by column.
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

extern "C" void emu_count_launch(const char* name);

enum { SUCCESS = 0, NOT_SUPPORTED = 15 };
enum { REAL_32 = 0, REAL_64 = 1 };     // cudaDataType
enum { FAST_TF32 = 77 };               // cublasComputeType_t
enum { TF32_MATH = 3 };                // cublasMath_t
static int math_mode, pointer_mode;

// To the nearest of 10 bits, ties to even, as cuBLAS rounds its factors.
static float to_tf32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
  memcpy(&value, &bits, sizeof bits);
  return value;
}

struct Shape { int rows, columns, depth; bool turn_a, turn_b, tf32; };

// [rows of x, columns of x] of what is stored with a stride, turned or not.
template <class T>
static std::vector<T> plain(const T* x, int stride, bool turned, int rows, int columns,
                            bool tf32) {
  std::vector<T> out((size_t)rows * columns);
  for (int j = 0; j < columns; j++)
    for (int i = 0; i < rows; i++) {
      T value = turned ? x[j + (size_t)i * stride] : x[i + (size_t)j * stride];
      if constexpr (std::is_same_v<T, float>) if (tf32) value = to_tf32(value);
      out[i + (size_t)j * rows] = value;
    }
  return out;
}

template <class T>
static void product(Shape s, T alpha, const T* a, int lda, const T* b, int ldb, T beta,
                    T* c, int ldc) {
  std::vector<T> left = plain(a, lda, s.turn_a, s.rows, s.depth, s.tf32);
  std::vector<T> right = plain(b, ldb, s.turn_b, s.depth, s.columns, s.tf32);
  std::vector<T> sums(s.rows);
  for (int j = 0; j < s.columns; j++) {
    std::fill(sums.begin(), sums.end(), T(0));
    for (int k = 0; k < s.depth; k++) {
      T factor = right[k + (size_t)j * s.depth];
      const T* column = &left[(size_t)k * s.rows];
      for (int i = 0; i < s.rows; i++) sums[i] += column[i] * factor;
    }
    for (int i = 0; i < s.rows; i++) {
      T& out = c[i + (size_t)j * ldc];
      out = alpha * sums[i] + (beta == 0 ? T(0) : beta * out);
    }
  }
}

extern "C" {
int cublasCreate_v2(void** handle) {
  *handle = (void*)1;
  return SUCCESS;
}
int cublasDestroy_v2(void*) { return SUCCESS; }
int cublasSetStream_v2(void*, void*) { return SUCCESS; }
int cublasGetVersion_v2(void*, int* version) {
  *version = 120903;
  return SUCCESS;
}
int cublasSetMathMode(void*, int mode) {
  math_mode = mode;
  return SUCCESS;
}
int cublasGetMathMode(void*, int* mode) {
  *mode = math_mode;
  return SUCCESS;
}
int cublasSetPointerMode_v2(void*, int mode) {
  pointer_mode = mode;
  return SUCCESS;
}
int cublasGetPointerMode_v2(void*, int* mode) {
  *mode = pointer_mode;
  return SUCCESS;
}
int cublasSgemm_v2(void*, int ta, int tb, int m, int n, int k, const float* alpha,
                   const float* a, int lda, const float* b, int ldb, const float* beta,
                   float* c, int ldc) {
  emu_count_launch("product");
  product({m, n, k, !!ta, !!tb, math_mode == TF32_MATH}, *alpha, a, lda, b, ldb, *beta, c, ldc);
  return SUCCESS;
}
int cublasDgemm_v2(void*, int ta, int tb, int m, int n, int k, const double* alpha,
                   const double* a, int lda, const double* b, int ldb,
                   const double* beta, double* c, int ldc) {
  emu_count_launch("product");
  product({m, n, k, !!ta, !!tb, false}, *alpha, a, lda, b, ldb, *beta, c, ldc);
  return SUCCESS;
}
int cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k,
                               const void* alpha, const void* a, int type_a, int lda,
                               long long step_a, const void* b, int type_b, int ldb,
                               long long step_b, const void* beta, void* c, int type_c,
                               int ldc, long long step_c, int count, int compute, int) {
  if (type_a != type_b || type_a != type_c || type_a > REAL_64) return NOT_SUPPORTED;
  emu_count_launch("product");
  Shape shape{m, n, k, !!ta, !!tb, compute == FAST_TF32};
  for (int i = 0; i < count; i++)
    if (type_a == REAL_32)
      product(shape, *(float*)alpha, (float*)a + i * step_a, lda,
              (float*)b + i * step_b, ldb, *(float*)beta, (float*)c + i * step_c, ldc);
    else
      product(shape, *(double*)alpha, (double*)a + i * step_a, lda,
              (double*)b + i * step_b, ldb, *(double*)beta, (double*)c + i * step_c, ldc);
  return SUCCESS;
}
int cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha,
                 const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                 const void* beta, void* c, int type_c, int ldc, int compute, int how) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, type_a, lda, 0, b,
                                    type_b, ldb, 0, beta, c, type_c, ldc, 0, 1, compute,
                                    how);
}
}
