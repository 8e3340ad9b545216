"""Templates of C for a header, in which REAL, SUM and @ are replaced."""

from nnx.maths.activations import GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE

ACTIVATIONS = {
    "identity": "return z;",
    "relu": "return z > 0 ? z : 0;",
    "leaky_relu": f"return z > 0 ? z : {LEAKY_SLOPE}@ * z;",
    "elu": "return z > 0 ? z : expm1@(z);",
    "tanh": "return tanh@(z);",
    "sigmoid": "return nnx_logistic(z);",
    "softplus": "return (z > 0 ? z : 0) + log1p@(exp@(-fabs@(z)));",
    "silu": "return z * nnx_logistic(z);",
    "gelu": "return 0.5@ * z"
    f" * (1 + tanh@({GELU_SCALE:.17g}@ * (z + {GELU_CUBIC:.17g}@ * z * z * z)));",
}
LOGISTIC = """
static inline REAL nnx_logistic(REAL z)
{
    const REAL small = exp@(-fabs@(z));
    return (z < 0 ? small : 1) / (1 + small);
}
"""
ACTIVATION = """
static inline REAL nnx_NAME(REAL z)
{
    BODY
}
"""
DENSE = """
/* y (out) = x (in) times weight (in, out), and bias */
static inline void nnx_dense(const REAL *weight, const REAL *bias, int in, int out,
                             const REAL *x, REAL *y)
{
    int i, j;
    for (j = 0; j < out; j++)
        y[j] = bias[j];
    for (i = 0; i < in; i++, weight += out)
        if (x[i] != 0)
            for (j = 0; j < out; j++)
                y[j] += x[i] * weight[j];
}
"""
DENSE_INT8 = """
/* q (n): x over its largest number, as integers up to most; returns q's unit */
static inline float nnx_whole(const float *x, int n, float most, int16_t *q)
{
    float largest = 1e-30f, times;
    int i;
    for (i = 0; i < n; i++)
        if (fabsf(x[i]) > largest)
            largest = fabsf(x[i]);
    times = most / largest;
    for (i = 0; i < n; i++)
        q[i] = (int16_t)floorf(x[i] * times + 0.5f);
    return largest / most;
}

/* y (out) = q (in) times weight (in, out), in integers, in their units, and bias */
static inline void nnx_dense(const int8_t *weight, const float *step, const float *bias,
                             int in, int out, const int16_t *q, float unit, float *y)
{
    SUM sum[NNX_MOST_UNITS];
    int i, j;
    for (j = 0; j < out; j++)
        sum[j] = 0;
    for (i = 0; i < in; i++, weight += out)
        if (q[i] != 0)
            for (j = 0; j < out; j++)
                sum[j] += (SUM)q[i] * weight[j];
    for (j = 0; j < out; j++)
        y[j] = (float)sum[j] * (step[j] * unit) + bias[j];
}
"""
SOFTMAX = """
    largest = x[0];
    for (i = 1; i < NNX_OUTPUTS; i++)
        if (x[i] > largest)
            largest = x[i];
    for (i = 0; i < NNX_OUTPUTS; i++)
        sum += probabilities[i] = exp@(x[i] - largest);
    for (i = 0; i < NNX_OUTPUTS; i++)
        probabilities[i] /= sum;
"""
SIGMOID = """
    for (i = 0; i < NNX_OUTPUTS; i++)
        probabilities[i] = nnx_logistic(x[i]);
"""
VALUES = """
    for (i = 0; i < NNX_OUTPUTS; i++)
        values[i] = (double)x[i] * nnx_target_scale[i] + nnx_target_mean[i];
"""
