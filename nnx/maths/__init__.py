"""The mathematics, written once against the Python array API standard.

Nothing here names an array library, a file or a clock. A function takes its
namespace as `xp`; a gradient stands under the function it belongs to.
"""
