"""The mathematics, written once against the Python array API standard.

Nothing here names an array library, a file or a clock. Each function takes its
array namespace as `xp`; each gradient stands below the function it belongs to.
"""
