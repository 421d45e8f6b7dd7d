"""A relaxation as a GIF: a frame a row, in axes that hold still, at the speed that was asked."""

import io
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from test_views import full_lane

from workbench import look, many, movie, mp4

TRACE = full_lane(rows=4, recipe_id=[0, 0, 0, 1])


def test_every_row_is_a_frame_at_its_time():
    with Image.open(io.BytesIO(movie.gif(TRACE, fps=4))) as made:
        assert made.size == (960, 540) and made.n_frames == TRACE.sizes["step"]
        assert made.info["loop"] == 0  # it begins again
        assert made.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        held = []
        for k in range(made.n_frames):
            made.seek(k)
            held.append(made.info["duration"])
    assert held == [250] * 3 + [1500]  # ms


def test_the_point_of_the_total_goes_on_as_the_steps_do_in_axes_that_hold_still():
    shown = list(movie.frames(TRACE))
    accent = np.array(to_rgb(look.PAPER.accent)) * 255
    at = [np.argwhere((np.abs(one.astype(int) - accent) < 12).all(-1)) for one in shown]
    right = [found[found[:, 1] > 480][:, 1].mean() for found in at]  # the total's own dot
    steps = np.diff([x for k, x in enumerate(right) if k < 3])  # before words in its colour come
    assert np.all(steps > 0) and np.ptp(steps) < 2  # as even as the steps
    assert np.array_equal(shown[1][500:], shown[2][500:])  # the names of the axes
    assert (shown[0][0, 0] == 255).all()


def test_of_many_rows_evenly_spaced_ones_are_drawn():
    long = full_lane(rows=2 * movie.MOST + 1)
    rows = movie.rows_of(long)
    assert len(rows) == movie.MOST and rows[0] == 0 and rows[-1] == 2 * movie.MOST
    assert set(np.diff(rows)) <= {2, 3}


@pytest.mark.parametrize("fps", [0, 51])
def test_a_speed_that_no_gif_has_is_refused(fps):
    with pytest.raises(ValueError, match=rf"^fps: {fps}; an integer 1\.\.50"):
        movie.gif(TRACE, fps)


def test_what_cannot_be_drawn_is_refused():
    whole = many.combine({"run": ["a", "b"]}, [TRACE, TRACE])
    with pytest.raises(ValueError, match=r"^movie: several relaxations, by run; one of them"):
        movie.gif(whole)
    with pytest.raises(ValueError, match=r"^movie: the trace has no precision"):
        movie.gif(TRACE.drop_vars("precision"))


def test_the_command_writes_it(place):
    place.relax(*place.scalar(), "--steps", 3)
    target = place.folder / "talk.gif"
    code, out, err = place.run("movie", place.out, "--out", target)
    assert (code, err) == (0, "") and out.startswith("4 frames of 4 rows")
    assert target.read_bytes()[:6] == b"GIF89a"
    for words, said in (
        (["--out", "t.avi"], "out: t.avi; a path that ends in .gif or .mp4"),
        (["--out", "t.gif", "--fps", "fast"], "fps: fast; an integer 1..50"),
        (["--out", "t.gif", "--fps", "90"], "fps: 90; an integer 1..50"),
    ):
        code, err = place.refused("movie", place.out, *words)
        assert code == 2 and said in err


@pytest.mark.oracle("other implementation")
def test_an_mp4_holds_the_frames_of_the_movie_and_its_last_one_stays(place):
    imageio_ffmpeg = pytest.importorskip(
        "imageio_ffmpeg", reason="missing: imageio-ffmpeg, of the test extra"
    )
    target = place.folder / "talk.mp4"
    target.write_bytes(mp4.mp4(TRACE, fps=4))
    reader = imageio_ffmpeg.read_frames(str(target))
    about = next(reader)
    assert about["size"] == (960, 540) and about["fps"] == 4 and about["codec"] == "h264"
    shown = [np.frombuffer(one, np.uint8).reshape(540, 960, 3) for one in reader]
    drawn = list(movie.frames(TRACE))
    assert len(shown) == len(drawn) + 6, "1.5 seconds more of the last one"
    for k, one in enumerate(shown):
        there = drawn[min(k, len(drawn) - 1)]
        assert np.abs(one.astype(int) - there).mean() < 3, "as lossy as H.264 is at this quality"
    assert mp4.mp4(TRACE, fps=4) == target.read_bytes()


def test_without_ffmpeg_an_mp4_is_refused_in_one_line(place, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    place.relax(*place.scalar(), "--steps", 1)
    code, err = place.refused("movie", place.out, "--out", place.folder / "t.mp4")
    assert code == 3
    assert "movie: no ffmpeg here; pip install imageio-ffmpeg" in err
    with pytest.raises(ValueError, match=r"^fps: 0; an integer 1\.\.50"):
        mp4.mp4(TRACE, 0)
