"""Write the README's pictures, of a run of the preset `quick`, into docs/pictures.

    nnx train --preset quick --out runs/quick
    python docs/pictures.py runs/quick

They are the run's own, with fewer colors, so that a clone stays small.
"""

import sys
from pathlib import Path

from PIL import Image

SHOWN = "curves", "weights", "mistakes"
# The ends of a scale have few pixels, which a median cut would give one color.
COLOURS, HOW, SHARP = 256, Image.Quantize.MAXCOVERAGE, Image.Dither.NONE


def main(run: Path) -> None:
    """Write each picture that is shown."""
    folder = Path(__file__).parent / "pictures"
    folder.mkdir(exist_ok=True)
    for name in SHOWN:
        with Image.open(run / f"{name}.png") as picture:
            small = picture.convert("RGB").quantize(COLOURS, HOW, dither=SHARP)
        small.save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png", (folder / f"{name}.png").stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
