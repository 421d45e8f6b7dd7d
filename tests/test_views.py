"""Views are tested on what they put on paper, and once on rendering; the look on its contrasts."""

import io
import json
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation, Text
from matplotlib.transforms import TransformedBbox
from PIL import Image
from test_measures import falling, lane

from core import Experiment, relax
from core.datasets.small_digits import SmallDigits
from core.networks.resnet import ResNet
from workbench import look, measures
from workbench.views import marks, view_named, views


def full_lane(rows=9, L=5, *, batch=None, recipe_id=None):
    """A trace with every variable: the error wavefront of a forward init, and images."""
    t = np.arange(rows)[:, None]
    layers = np.arange(1, L + 1)
    energy = np.where(L - layers <= t, 10.0 ** (layers - L) * 0.9**t, 0.0)
    random = np.random.default_rng(1)
    samples, classes, frames = 3, 4, 3
    picture = ("frame", "shown", "channel", "row", "column")
    raw = random.random((rows, samples, classes))
    force = np.c_[np.zeros(rows), 0.5 ** np.arange(rows)[:, None] * np.ones(L - 1), np.zeros(rows)]
    trace = lane(
        energy,
        batch=batch,
        recipe_id=recipe_id,
        energy_sample=(
            ("step", "layer", "sample"),
            energy[..., None] * random.uniform(0.2, 3, (rows, L, samples)),
        ),
        alignment=(("step", "layer"), np.where(energy > 0, 0.5, np.nan)),
        update_ratio=(("step", "layer"), np.where(energy > 0, energy, np.nan)),
        agreement=(("step", "layer"), np.where(energy > 0, 0.75, np.nan)),
        prediction_drift=(("step", "layer"), np.sqrt(energy) * np.minimum(t, 1)),
        force=(("step", "state"), force),
        probability=(("step", "sample", "class"), raw / raw.sum(2, keepdims=True)),
        prediction=(picture, random.random((frames, 2, 1, 6, 6))),
        swept=(picture, random.random((frames, 2, 1, 6, 6))),
        prediction_mse=(("frame", "sample"), random.random((frames, samples))),
        swept_mse=(("frame", "sample"), random.random((frames, samples))),
    )
    trace = trace.assign_coords(frame_step=("frame", np.linspace(0, rows - 1, frames).astype(int)))
    images = random.random((1, 2, 1, 6, 6))
    return trace.assign_coords(shown_batch=[0]).assign(
        label=(("shown_batch", "sample"), [[2, 0, 1]]),
        input=(("shown_batch", "shown", "channel", "row", "column"), images),
    )


def png(figure):
    buffer = io.BytesIO()
    with look.paper_style():
        figure.savefig(buffer, format="png", dpi=100)
    return Image.open(buffer)


def texts(figure):
    return [one.get_text() for one in figure.findobj(Text)]


def luminance(colour):
    c = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], c))


def contrast(a, b):
    dark, bright = sorted((luminance(a), luminance(b)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", look.THEMES)
def test_every_layer_is_seen_on_its_theme_and_depth_is_brightness(theme):
    colours = look.layer_colours(12, theme)
    background = look.palette(theme).background
    assert min(contrast(colour, background) for colour in colours) >= 3  # WCAG 2.2, 1.4.11
    assert np.all(np.diff([luminance(colour) for colour in colours]) > 0)
    assert len(look.layer_colours(1, theme)) == 1


@pytest.mark.parametrize("theme", look.THEMES)
def test_text_can_be_read_on_its_theme(theme):
    one = look.palette(theme)
    for ground in (one.page, one.background):
        assert contrast(one.ink, ground) >= 7
        assert contrast(one.muted, ground) >= 4.5
        assert contrast(one.accent, ground) >= 3


def test_an_unknown_theme_is_refused():
    with pytest.raises(ValueError, match="theme: sepia; one of light, dark"):
        look.palette("sepia")


def test_the_paper_style_embeds_fonts_and_leaves_no_trace():
    before = dict(mpl.rcParams)
    with look.paper_style():
        assert mpl.rcParams["pdf.fonttype"] == 42
        assert mpl.rcParams["font.size"] == 8
        assert mpl.rcParams["savefig.dpi"] == 400
    assert dict(mpl.rcParams) == before


def test_views_come_in_one_order_and_each_asks_a_question():
    found = views()
    assert list(found)[:2] == ["energy_time", "energy_depth"]
    assert len(found) == 11 and not {"marks", "screen"} & set(found)
    for module in found.values():
        assert "?" in module.__doc__.splitlines()[0]
        assert module.TITLE and module.NEEDS


def test_an_unknown_view_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"view: energy_tim; .*did you mean energy_time"):
        view_named("energy_tim")


@pytest.mark.parametrize("name", views())
def test_every_figure_is_one_column_wide_with_all_its_text_inside(name):
    trace = full_lane(recipe_id=[0] * 4 + [1] * 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = views()[name].figure(trace, step=4)
        image = png(figure)
    assert image.width == 325
    assert len(np.unique(np.asarray(image))) > 10
    extents = [one.get_window_extent() for one in figure.findobj(Annotation) if one.get_text()]
    tight = figure.get_tightbbox()  # in inches, of all that the layout made room for
    extents.append(TransformedBbox(tight, figure.dpi_scale_trans))
    for extent in extents:
        assert figure.bbox.x0 - 1 <= extent.x0 and extent.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= extent.y0 and extent.y1 <= figure.bbox.y1 + 1


OVER_STEPS = [name for name in views() if name != "energy_depth"]


@pytest.mark.parametrize("name", OVER_STEPS)
def test_a_change_of_the_recipe_is_marked_with_its_sentence(name):
    trace = full_lane(recipe_id=[0] * 4 + [1] * 5)
    figure = views()[name].figure(trace)
    assert "precision: Identity → Spiking" in texts(figure)


def test_several_changes_have_letters_and_a_key():
    trace = full_lane(recipe_id=[0, 0, 0, 1, 1, 1, 2, 2, 2])
    said = texts(views()["total"].figure(trace))
    assert {"a", "b", "a   precision: Identity → Spiking"} <= set(said)


@pytest.mark.parametrize("name", views())
def test_one_row_two_layers_and_rows_that_diverged_can_be_drawn(name):
    trace = full_lane()
    diverged = trace.copy(deep=True)
    diverged["energy"][6:, 2:] = np.inf
    for one in (trace.isel(step=[4]), trace.isel(layer=[3, 4]), diverged):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            png(views()[name].figure(one))


@pytest.mark.parametrize("name", views())
def test_a_trace_without_what_a_view_needs_is_refused_in_one_line(name):
    trace = full_lane()
    bare = trace.drop_vars(list(trace.data_vars)).drop_dims("frame")
    for draw in (views()[name].measure, views()[name].figure):
        with pytest.raises(ValueError, match=f"^{name}: the trace has no ") as refused:
            draw(bare)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", views())
def test_a_trace_of_nothing_but_nan_is_refused_in_one_line(name):
    trace = full_lane()
    floats = [k for k in trace.data_vars if trace[k].dtype.kind == "f"]
    empty = trace.assign({k: trace[k] * np.nan for k in floats})
    with pytest.raises(ValueError, match=f"^{name}: no finite value of ") as refused:
        views()[name].figure(empty)
    assert "\n" not in str(refused.value)


def test_the_map_shows_energies_and_leaves_out_layers_that_are_not_reached():
    trace = full_lane(rows=4, L=5)
    figure = views()["energy_time"].figure(trace)
    (cells,) = [one for one in figure.axes[0].collections if one.get_array() is not None]
    shown = np.ma.getmaskarray(cells.get_array()).reshape(5, 4)
    np.testing.assert_array_equal(shown, trace["energy"].values.T == 0)
    legend = [text.get_text() for one in figure.legends for text in one.get_texts()]
    assert legend == ["not reached"]


def noisy_lane():
    """Layers 1 to 4 at two steps: zero, below the floor, above it; in single precision."""
    trace = lane([[0, 0, 1e-3, 1.0], [0, 1e-14, 1e-2, 1.0]])
    return trace.assign_attrs(eps=2.0**-23)  # the floor is 4 (1 + t) eps^2 / 2 = 5.7e-14 at t = 1


def test_the_map_tells_rounding_from_what_is_not_reached():
    figure = views()["energy_time"].figure(noisy_lane())
    grey = [one for one in figure.axes[0].collections if one.cmap.N == 1]
    (cells,) = [np.ma.getmaskarray(one.get_array()).reshape(4, 2) for one in grey]
    assert np.argwhere(~cells).tolist() == [[1, 1]]  # layer 2 at step 1
    legend = [text.get_text() for one in figure.legends for text in one.get_texts()]
    assert legend == ["not reached", "rounding of float32"]


def test_energy_by_depth_marks_rounding_and_draws_its_floor():
    ax = views()["energy_depth"].figure(noisy_lane()).axes[0]
    marks_of = {one.get_label(): one.get_offsets()[:, 0].tolist() for one in ax.collections}
    assert marks_of["below the rounding floor of float32"] == [1]
    assert marks_of["not reached"] == [0]
    floors = [one for one in ax.lines if np.ptp(one.get_ydata()) == 0]
    np.testing.assert_allclose(floors[0].get_ydata(), 4 * 2 * 2.0**-46 / 2)
    clean = views()["energy_depth"].figure(full_lane()).axes[0]
    assert not any("rounding" in one.get_label() for one in clean.collections)


def test_on_the_screen_rounding_has_its_own_cells_and_hollow_points():
    said = "below the rounding floor of float32"
    for name, empty in (("energy_time", "Rectangles"), ("energy_depth", "Scatter")):
        drawn = views()[name].view(noisy_lane())
        (found,) = [one for one in drawn if one.label == said]
        assert type(found).__name__ == empty and len(found) == 1
        assert not [one for one in views()[name].view(full_lane()) if one.label == said]


def test_nothing_is_called_unreached_where_all_layers_are_reached():
    figure = views()["energy_time"].figure(lane(falling(4, 3)))
    assert not figure.legends


def test_energy_by_depth_is_of_the_chosen_step_with_its_slope():
    trace = full_lane()
    ax = views()["energy_depth"].figure(trace, step=6).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), trace["energy"].values[6])
    # 10^(l - L) at every step: one decade a layer.
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "+1.00 decades/layer, $R^2=1.00$" in labels


def test_of_more_batches_than_can_be_told_apart_the_last_rows_are_drawn():
    n = marks.MOST_BATCHES + 1
    trace = lane(np.tile(falling(3), (3 * n + 1, 1)), T=2, batch=np.arange(3 * n + 1) // 3)
    found, shown = marks.shown(measures.total_energy(trace), trace)
    # The last batch has only its first row, which no weights saw.
    assert shown["batch"].values.tolist() == list(range(n))
    assert set(shown["t"].values) == {2}
    assert found.sizes["step"] == n
    assert marks.steps(shown)[1] is look.LABELS["batch"]
    figure = views()["total"].figure(trace)
    assert len(figure.axes[0].lines[0].get_xdata()) == n


def test_lines_have_gaps_between_batches():
    trace = lane(falling(2, 6), T=2, batch=[0, 0, 0, 1, 1, 1])
    x, y = marks.broken(trace, trace["energy"].values)
    np.testing.assert_array_equal(x, [0, 1, 2, np.nan, 3, 4, 5])
    assert np.isnan(y[3]).all()


def test_probability_is_of_one_sample_in_the_batch_of_the_step():
    trace = full_lane(rows=9, batch=[0] * 4 + [1] * 5)
    module = views()["probability"]
    for step, rows in ((2, slice(0, 4)), (None, slice(4, 9))):
        found = module.measure(trace, step, sample=1)["probability"]
        np.testing.assert_array_equal(found, trace["probability"].values[rows, 1])
    with pytest.raises(ValueError, match=r"probability\.sample: 3; an integer 0\.\.2"):
        module.measure(trace, sample=3)


def test_images_are_of_the_nearest_frame_and_the_input_of_its_batch():
    trace = full_lane()
    shown = views()["reconstruction"].images(trace, step=5)
    assert list(shown) == ["input", "prediction", "swept"]
    np.testing.assert_array_equal(shown["prediction"], trace["prediction"].values[1])
    np.testing.assert_array_equal(shown["input"], trace["input"].values[0])


def test_a_free_image_stands_alone():
    trace = full_lane().drop_vars(["prediction", "swept", "prediction_mse", "swept_mse"])
    dreamt = np.random.default_rng(0).normal(size=(3, 2, 3, 6, 6))
    trace = trace.drop_vars("input").assign(
        image=(("frame", "shown", "channel", "row", "column"), dreamt)
    )
    module = views()["reconstruction"]
    assert list(module.images(trace)) == ["image"]
    png(module.figure(trace))


def test_a_free_image_that_is_compared_stands_beside_the_input_with_its_error():
    whole = full_lane()
    recalled = np.random.default_rng(0).normal(size=(3, 2, 1, 6, 6))
    trace = whole.assign(
        image=(("frame", "shown", "channel", "row", "column"), recalled),
        image_mse=(("frame", "sample"), np.ones((3, 3))),
    )
    module = views()["reconstruction"]
    assert list(module.images(trace)) == ["input", "prediction", "swept", "image"]
    assert set(module.measure(trace)) == {"prediction_mse", "swept_mse", "image_mse"}
    figure = module.figure(trace)
    assert {"input", "$h$"} <= set(texts(figure))
    png(figure)


def test_labels_that_would_overlap_move_apart_as_little_as_needed():
    placed = views()["probability"].apart(np.array([0.0, 0.0, 0.1, 5.0]), 1.0)
    # The first three want 0, 0 and 0.1: their mean is kept.
    np.testing.assert_allclose(placed, [-1 + 0.1 / 3, 0.1 / 3, 1 + 0.1 / 3, 5.0])
    assert views()["probability"].apart(np.array([0.0, 2.0]), 1.0).tolist() == [0.0, 2.0]


@pytest.mark.parametrize("name", views())
def test_every_view_is_drawn_for_the_screen(name):
    holoviews = pytest.importorskip("holoviews")
    drawn = views()[name].view(full_lane(recipe_id=[0] * 4 + [1] * 5))
    assert isinstance(drawn, holoviews.core.Dimensioned)  # what HoloViews shows in a notebook
    assert holoviews.renderer("bokeh").get_plot(drawn).state is not None


@pytest.mark.parametrize("name", views())
def test_screen_and_paper_draw_what_one_measure_gives(name, monkeypatch):
    pytest.importorskip("holoviews")
    module, asked = views()[name], []
    source = "images" if name == "reconstruction" else "measure"
    measure = getattr(module, source)

    def told(*args, **options):
        asked.append(measure(*args, **options))
        return asked[-1]

    monkeypatch.setattr(module, source, told)
    trace = full_lane(rows=3, L=3)
    for draw in (module.view, module.figure):
        before = len(asked)
        draw(trace)
        assert len(asked) > before, draw.__name__
    first, *others = ({k: np.asarray(v) for k, v in one.items()} for one in asked)
    for one in others:
        np.testing.assert_equal(one, first)


def test_views_do_not_change_the_trace():
    trace = full_lane()
    before = trace.copy(deep=True)
    for module in views().values():
        module.figure(trace)
    xr.testing.assert_identical(trace, before)


def of_phases(name, **options):
    """A trace of one batch whose phases are free (one row), plus and minus (twelve each)."""
    trace = full_lane(rows=25)
    names = np.array(["free", *["plus"] * 12, *["minus"] * 12])
    t = np.array([0, *range(12), *range(12)])
    trace = trace.assign_coords(phase=("step", names), t=("step", t), T=("step", t * 0 + 11))
    return views()[name].figure(trace, **options)


@pytest.mark.parametrize("name", OVER_STEPS)
def test_phases_are_named_where_there_is_room_for_their_name(name):
    said = texts(of_phases(name))
    assert {"plus", "minus"} <= set(said) and "free" not in said
    assert look.LABELS["phase_row"].math in said or name in ("reconstruction",)


def test_lines_have_gaps_between_phases():
    ax = of_phases("alignment").axes[0]
    longest = max(ax.lines, key=lambda one: len(one.get_xdata()))
    assert np.isnan(longest.get_xdata()).sum() == 2


def test_a_row_of_several_phases_says_its_own():
    title = of_phases("energy_depth", step=15).axes[0].get_title(loc="left")
    assert title == "minus, step $t=2$"


def test_the_law_of_arrival_is_drawn_from_what_the_trace_knows():
    # The trace's own energies are a law of their own; a delta of 1 at rate 0.1 gives C(t, k)^2
    # 0.01^k at k layers below the output.
    theory = {"0": {"delta": [1.0] * 5}}
    trace = full_lane().assign_attrs(theory=json.dumps(theory))
    found = views()["energy_depth"].measure(trace, 3)
    expected = [0, 0.01**3, 9 * 0.01**2, 9 * 0.01, 1]
    np.testing.assert_allclose(found["theory_arrival"][1:], expected[1:], rtol=1e-6)
    assert np.isnan(found["theory_arrival"][0])
    said = texts(views()["energy_depth"].figure(trace, 3))
    assert any("small-rate law" in one for one in said)
    toggled = full_lane(recipe_id=[0] * 2 + [1] * 7).assign_attrs(theory=json.dumps(theory))
    assert "theory_arrival" not in views()["energy_depth"].measure(toggled, 3)


def test_layers_are_called_by_their_names():
    """Layers of a skip stand at the depth of their main path, so that numbers alone mislead."""
    trace = relax(
        Experiment(
            network=ResNet(width=1 / 64),
            dataset=SmallDigits(),
            pretraining="random",
            steps=3,
            batch_size=10,
        )
    )
    names = ["1", "2", "3", "4", "4s", "5", "6", "6s", "7", "8", "8s", "9", "10"]
    assert list(trace["layer_name"].values) == names
    (ax, *_) = view_named("energy_time").figure(trace).axes
    shown = [names[k] for k in marks.layer_ticks(trace["layer"].values)]
    assert [one.get_text() for one in ax.get_yticklabels()] == shown
    (ax, *_) = view_named("energy_depth").figure(trace).axes
    assert [one.get_text() for one in ax.get_xticklabels()] == shown
