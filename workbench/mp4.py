"""How is a relaxation shown where GIFs are not? As an MP4 by ffmpeg, of the same frames."""

import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path

import xarray as xr

from workbench.movie import FASTEST, LAST, frames

INSTALL = (
    "pip install imageio-ffmpeg, or ffmpeg on the path; a path that ends in .gif needs neither"
)


class NoFfmpeg(RuntimeError):
    """There is no ffmpeg on this machine."""


def mp4(trace: xr.Dataset, fps: int = 8) -> bytes:
    """A relaxation as H.264 in an MP4, 960 by 540 pixels, that any browser and slide plays.

    Args:
        trace: one lane.
        fps: frames a second, one row each; the last one stays.

    Raises:
        ValueError: naming what is missing from the trace, or a speed that is none.
        NoFfmpeg: where there is no ffmpeg, saying how to get one.
        RuntimeError: with ffmpeg's own last line, where it fails.
    """
    if not 1 <= fps <= FASTEST:
        raise ValueError(f"fps: {fps}; an integer 1..{FASTEST}")
    program = ffmpeg()
    shown = frames(trace)
    first = next(shown)  # what is missing is said before anything is begun
    last = first
    high, wide, _ = first.shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.mp4"
        with tempfile.TemporaryFile() as said:
            command = [program, *_words(wide, high, fps), str(path)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said)
            assert process.stdin is not None
            try:
                with process.stdin as pipe:
                    for last in itertools.chain([first], shown):
                        pipe.write(last.tobytes())
                    for _ in range(round(LAST * fps)):
                        pipe.write(last.tobytes())
            except BrokenPipeError:  # it has ended and said why
                pass
            if process.wait():
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                raise RuntimeError(f"movie: ffmpeg failed: {lines[-1] if lines else 'no word'}")
        return path.read_bytes()


def ffmpeg() -> str:
    """The program: the one on the path, else the one that the package imageio-ffmpeg brings.

    Raises:
        NoFfmpeg: where there is neither.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        raise NoFfmpeg(f"movie: no ffmpeg here; {INSTALL}") from None


def _words(wide: int, high: int, fps: int) -> list[str]:
    """The same frames give the same bytes: one thread, and no version or date in the file."""
    raw = f"-f rawvideo -pix_fmt rgb24 -s {wide}x{high} -r {fps} -i -"
    made = "-c:v libx264 -crf 18 -pix_fmt yuv420p -threads 1 -movflags +faststart"
    plain = "-map_metadata -1 -fflags +bitexact -flags:v +bitexact"
    return f"-hide_banner -loglevel error -y {raw} -an {made} {plain}".split()
