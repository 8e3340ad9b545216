"""A network as a C99 header, which needs only the mathematics library."""

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from nnx import __version__
from nnx.data.dataset import Array, units
from nnx.export import c_source
from nnx.export.interface import described, feature_names, input_spec, output_name
from nnx.export.quantized import Quantized, levels, quantized, sums_fit
from nnx.maths.state import Layer
from nnx.network import Network

TYPES = {
    "uint8": "uint8_t", "int8": "int8_t", "float32": "float", "float64": "double",
}  # fmt: skip
COLUMNS = 80
# Another network's header defines the same names.
GUARD = """#ifndef NNX_MODEL_H
#define NNX_MODEL_H {crc}

{text}
#elif NNX_MODEL_H != {crc}
#error "two networks in one file: include each header of nnx in a C file of its own"
#endif
"""


def content(network: Network, *, int8: bool = False, said: str = "") -> bytes:
    """Return the header for a network.

    int8: whether weights have 8 bits and products are summed as integers
    said: a line on the network's score
    """
    real = "float32" if int8 else network.layers[0].weight.dtype.name
    arrays = _arrays(network, int8)
    parts = [
        "#include <math.h>\n#include <stdint.h>\n",
        f"#define NNX_FEATURES {network.sizes[0]}",
        f"#define NNX_OUTPUTS {network.sizes[-1]}",
        f"#define NNX_WIDEST {max(network.sizes)}",
        f"#define NNX_MOST_UNITS {max(network.sizes[1:])}\n",
        _names("nnx_classes", network.classes),
        _names("nnx_targets", [target.name for target in network.targets]),
        _names("nnx_features", feature_names(network)),
        *(_array(name, array) for name, array in arrays.items()),
        _filled(_functions(network, int8), real, sums_fit(network)),
    ]
    text = "\n".join(part for part in parts if part)
    crc = f"0x{zlib.crc32(text.encode('ascii')):08x}"
    comment = _comment(network, int8, said, arrays)
    return f"{comment}\n{GUARD.format(text=text, crc=crc)}".encode("ascii")


def _arrays(network: Network, int8: bool) -> dict[str, Array]:
    """Return all arrays in the header, by their names in it."""
    arrays, spec = dict[str, Array](), input_spec(network)
    if spec.mean is not None and spec.scale is not None:
        arrays |= {"nnx_mean": spec.mean, "nnx_scale": spec.scale}
    layers: Sequence[Quantized | Layer] = quantized(network) if int8 else network.layers
    for i, layer in enumerate(layers):
        arrays |= {f"nnx_{n}_{i}": array for n, array in layer._asdict().items()}
    if network.task == "regression":
        mean, scale = units(network.targets)
        arrays |= {"nnx_target_mean": mean, "nnx_target_scale": scale}
    return arrays


def _comment(network: Network, int8: bool, said: str, arrays: dict[str, Array]) -> str:
    spec, out = input_spec(network), output_name(network)
    range_ = "" if network.columns else f", from 0 to {network.frame.maximum}"
    size = sum(array.nbytes for array in arrays.values())
    lines = [
        f"{described(network)}; written by nnx {__version__}.",
        *([_plain(said)] if said else []),
        f"{size:,} bytes of constants{', weights in 8 bits' if int8 else ''}.",
        "",
        f"    {TYPES[spec.dtype]} {spec.name}[NNX_FEATURES];  as in the data{range_}",
        f"    {_out_type(network, int8)} {out}[NNX_OUTPUTS];",
        f"    nnx_predict({spec.name}, {out});",
        "",
        "C99, no memory but the stack, of which about "
        f"{_on_the_stack(network, int8):,} bytes; link with -lm.",
    ]
    return "\n".join(f"// {line}".rstrip() for line in lines) + "\n"


def _on_the_stack(network: Network, int8: bool) -> int:
    """Return the bytes of the arrays that the functions declare."""
    widest, units = max(network.sizes), max(network.sizes[1:])
    if not int8:
        real = 4 if network.layers[0].weight.dtype == np.float32 else 8
        return (widest + units) * real
    x_size = units if _takes_bytes(network, int8) else widest
    return 2 * widest + (x_size + units) * 4 + units * (4 if sums_fit(network) else 8)


def _plain(text: str) -> str:
    """Return text for a comment: ASCII, without characters that continue a line."""
    return re.sub(r"[^ -~]|[?\\]", "_", text.replace("²", "2"))


def _out_type(network: Network, int8: bool) -> str:
    is_double = network.layers[0].weight.dtype == np.float64 and not int8
    return "double" if is_double or network.task == "regression" else "float"


def _names(name: str, values: Iterable[str]) -> str:
    texts = [_text(value) for value in values]
    lines = _lines(texts)
    head = f"static const char *const {name}[{len(texts)}]"
    return f"{head} = {{\n{lines}\n}};\n" if texts else ""


def _text(value: str) -> str:
    """Return a C string literal: UTF-8, with escapes for all but plain ASCII."""
    letters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in value.encode("utf-8", "replace")
    )
    return f'"{"".join(letters)}"'


def _array(name: str, array: Array) -> str:
    """Return the declaration of an array, with numbers that are read back exactly."""
    flat = array.ravel().tolist()
    if array.dtype == np.int8:
        texts = list(map(str, flat))
    else:
        form, end = ("%.9g", "f") if array.dtype == np.float32 else ("%.17g", "")
        texts = [_number(form % value) + end for value in flat]
    kind = TYPES[array.dtype.name]
    return f"static const {kind} {name}[{len(flat)}] = {{\n{_lines(texts)}\n}};\n"


def _number(text: str) -> str:
    return text if "." in text or "e" in text else text + ".0"


def _lines(texts: list[str]) -> str:
    """Return texts separated by commas, in lines of about 80 characters."""
    lines, line, length = list[str](), list[str](), 0
    for text in texts:
        if line and length + len(text) + 2 > COLUMNS:
            lines.append(", ".join(line))
            line, length = [], 0
        line.append(text)
        length += len(text) + 2
    return ",\n".join([*lines, ", ".join(line)])


def _functions(network: Network, int8: bool) -> str:
    """Return the functions, in which REAL, SUM and @ are yet to be replaced."""
    used = dict.fromkeys(network.activation[:-1])
    parts = [
        c_source.ACTIVATION.replace("NAME", name).replace(
            "BODY", c_source.ACTIVATIONS[name]
        )
        for name in used
    ]
    parts += [c_source.DENSE_INT8 if int8 else c_source.DENSE]
    text = "".join([*parts, _predict(network, int8)])
    return c_source.LOGISTIC + text if "nnx_logistic" in text else text


def _predict(network: Network, int8: bool) -> str:
    spec, out, last = input_spec(network), output_name(network), len(network.layers)
    kind = "double" if network.task == "regression" else "REAL"
    softmax = network.task == "classification"
    x_size = "NNX_MOST_UNITS" if _takes_bytes(network, int8) else "NNX_WIDEST"
    lines = [
        "",
        f"static inline void nnx_predict(const {TYPES[spec.dtype]} *{spec.name}, "
        f"{kind} *{out})",
        "{",
        f"    REAL x[{x_size}], y[NNX_MOST_UNITS]"
        + (", largest, sum = 0;" if softmax else ";"),
        *(["    int16_t q[NNX_WIDEST];", "    float unit;"] if int8 else []),
        "    int i;",
        *_first(network, int8),
    ]
    now, then = "x", "y"
    for i, activation in enumerate(network.activation):
        lines += _layer(network, i, int8, now, then)
        now, then = then, now
        if i < last - 1:
            width = network.sizes[i + 1]
            lines += [f"    for (i = 0; i < {width}; i++)"]
            lines += [f"        {now}[i] = nnx_{activation}({now}[i]);"]
    ends = {
        "classification": c_source.SOFTMAX,
        "multilabel": c_source.SIGMOID,
        "regression": c_source.VALUES,
    }
    end = re.sub(r"\bx\[", f"{now}[", ends[network.task])
    return "\n".join(lines) + end + "}\n"


def _takes_bytes(network: Network, int8: bool) -> bool:
    """Return whether the first layer multiplies the bytes that it is given."""
    return int8 and input_spec(network).dtype == "uint8"


def _first(network: Network, int8: bool) -> list[str]:
    """Return the lines that compute the first layer's input from the arguments."""
    spec = input_spec(network)
    if _takes_bytes(network, int8):
        return [
            "    (void)x;",
            "    for (i = 0; i < NNX_FEATURES; i++)",
            f"        q[i] = {spec.name}[i];",
        ]
    value = f"{spec.name}[i]"
    if spec.mean is not None:
        value = f"({value} - nnx_mean[i]) / nnx_scale[i]"
    value = f"(REAL)({value})"
    if spec.factor != 1.0:
        value += f" * {_factor(network, int8)}"
    return ["    for (i = 0; i < NNX_FEATURES; i++)", f"        x[i] = {value};"]


def _factor(network: Network, int8: bool) -> str:
    """Return the factor for pixels, in C."""
    factor = input_spec(network).factor
    if int8 or network.layers[0].weight.dtype == np.float32:
        return _number(f"{np.float32(factor):.9g}") + "f"
    return _number(f"{factor:.17g}")


def _layer(network: Network, i: int, int8: bool, now: str, then: str) -> list[str]:
    """Return the lines that compute layer i's sums `then` from its input `now`."""
    width, out = network.layers[i].weight.shape
    if not int8:
        arrays = f"nnx_weight_{i}, nnx_bias_{i}"
        return [f"    nnx_dense({arrays}, {width}, {out}, {now}, {then});"]
    unit = f"nnx_whole({now}, {width}, {levels(network, i)}, q)"
    if i == 0 and _takes_bytes(network, int8):
        unit = _factor(network, int8)
    arrays = f"nnx_weight_{i}, nnx_step_{i}, nnx_bias_{i}"
    return [
        f"    unit = {unit};",
        f"    nnx_dense({arrays}, {width}, {out}, q, unit, {then});",
    ]


def _filled(source: str, real: str, sums_fit: bool) -> str:
    """Return C for a type of numbers, with REAL, SUM and @ (the suffix) replaced."""
    source = source.replace("SUM", "int32_t" if sums_fit else "int64_t")
    source = source.replace("REAL", TYPES[real])
    return source.replace("@", "f" if real == "float32" else "")
