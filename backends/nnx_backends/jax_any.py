"""JAX on the CPU or an accelerator, with whole training steps compiled."""

from functools import cache, partial
from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.errors import MissingLibraryError, UnusableBackendError
from nnx.maths.arrays import Array
from nnx.maths.ops import Ops


def load(device: str | None = None) -> Backend:
    """Return the backend on one of JAX's devices.

    This turns on 64-bit types and full-precision matrix products in JAX, for the whole
    process.

    device: for example cpu, cuda, cuda:1 or tpu; by default, the one that JAX prefers

    Raises:
        MissingLibraryError: JAX is not installed
        UnusableBackendError: JAX does not know the device, or cannot use it
    """
    try:
        import jax
    except ModuleNotFoundError:
        raise MissingLibraryError(
            "backend 'jax' needs JAX, which is not installed: "
            "pip install 'nnx-mlp[jax]'"
        ) from None
    jax.config.update("jax_enable_x64", True)
    # Otherwise accelerators round the factors of a float32 product to fewer digits.
    jax.config.update("jax_default_matmul_precision", "highest")
    return _backend(device)


@cache
def _backend(device: str | None) -> Backend:
    """Return a device's backend, the same in each call: it holds compiled functions."""
    import jax
    from jax import numpy as jnp

    from nnx_backends import jax_steps

    kind, _, number = (device or "").partition(":")
    try:
        place = jax.devices(kind or None)[int(number or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        why = str(error).strip().partition("\n")[0]
        raise UnusableBackendError(
            f"backend 'jax' cannot use device {device!r} ({why}): "
            "use cpu, or install a JAX that is built for it"
        ) from None
    cpu = place.platform == "cpu"
    words = "cpu" if cpu else f"{place.platform}:{place.id} ({place.device_kind})"
    ops = Ops(jnp)

    def from_numpy(array: Any) -> Array:
        host = np.asarray(array)
        native = host.astype(host.dtype.newbyteorder("="), copy=False)
        return jnp.array(native, device=place)

    return Backend(
        name="jax",
        device=words,
        ops=ops,
        from_numpy=from_numpy,
        to_numpy=np.array,
        synchronize=lambda: jax.block_until_ready(jax.live_arrays()),
        own_steps=partial(jax_steps.run_steps, ops=ops),
    )
