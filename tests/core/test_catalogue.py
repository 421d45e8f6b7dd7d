"""The catalogue: what every card must offer, and what every door refuses in one line."""

import json
import math
from dataclasses import dataclass, fields, replace

import pytest
from matplotlib.mathtext import MathTextParser

from core import BadInput, Card, card_of, cards, dial, entry, make
from core.catalogue import KINDS, change, from_dict, to_dict, withdraw

CARDS = [
    pytest.param(card, id=f"{kind}.{name}") for kind in KINDS for name, card in cards(kind).items()
]
DIALS = [
    pytest.param(card, one, id=f"{card.kind}.{card.name}.{one.name}")
    for kind in KINDS
    for card in cards(kind).values()
    for one in card.dials
]
NAN, INF = math.nan, math.inf


def refusal(call, *args, **kwargs):
    with pytest.raises(BadInput) as caught:
        call(*args, **kwargs)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    return line


# Laws of every card ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_entries(kind):
    assert cards(kind)


@pytest.mark.parametrize("card", CARDS)
def test_the_formula_is_drawn_by_matplotlib(card):
    assert card.formula
    assert "$" not in card.formula
    MathTextParser("path").parse(f"${card.formula}$")


@pytest.mark.parametrize("card", CARDS)
def test_the_card_says_what_it_is_and_where_it_is_from(card):
    assert card.title.strip()
    assert card.source.strip()
    assert card.line.strip()
    assert len(card.line) <= 100
    assert card.line.endswith(".")
    assert f"Source: {card.source}" in card.doc


@pytest.mark.parametrize(("card", "one"), DIALS)
def test_the_dial_explains_itself_and_holds_its_default(card, one):
    assert one.help.strip()
    assert one.legal.strip()
    assert one.check(one.default, one.name) == one.default
    if one.bounds is not None:
        assert one.bounds[0] < one.bounds[1]
    if one.log:
        assert one.bounds is not None


@pytest.mark.parametrize("card", CARDS)
def test_the_dials_are_the_fields(card):
    assert [one.name for one in card.dials] == [one.name for one in fields(card.entry)]


@pytest.mark.parametrize("card", CARDS)
def test_an_entry_cannot_be_changed(card):
    made = make(card.kind, card.name)
    with pytest.raises(AttributeError):
        made.anything = 1
    for one in card.dials:
        with pytest.raises(AttributeError):
            setattr(made, one.name, one.default)


def other_value(one):
    """A legal value that is not the default."""
    if one.choices:
        return next(value for value in one.choices if value != one.default)
    if one.type is bool:
        return not one.default
    if one.type is str:
        return one.default + "x"
    if one.table:
        return ((0.5, 2.0), (1.0, 1.0))
    if one.type is tuple:
        return (3, 5)
    low, high = one.bounds or (0, 1)
    return one.type(high if one.default != high else low)


@pytest.mark.parametrize("card", CARDS)
def test_an_entry_comes_back_from_plain_data_and_from_json(card):
    for values in ({}, {one.name: other_value(one) for one in card.dials}):
        made = make(card.kind, card.name, values)
        data = to_dict(made)
        assert data["name"] == card.name
        assert set(data) == {"name", *(one.name for one in card.dials)}
        assert from_dict(card.kind, data) == made
        again = json.loads(json.dumps(data, allow_nan=False))
        assert from_dict(card.kind, again) == made
        assert to_dict(from_dict(card.kind, again)) == data
    assert from_dict(card.kind, card.name) == make(card.kind, card.name)


@pytest.mark.parametrize("card", CARDS)
def test_the_card_of_an_entry_is_its_own(card):
    made = make(card.kind, card.name)
    assert card_of(made) is card
    assert card_of(type(made)) is card
    assert isinstance(card, Card)


# Bad values --------------------------------------------------------------------------------------


def bad_values(one):
    if one.choices or one.type is str:
        return [0, None, NAN, ["x"], True] + (["no such"] if one.choices else [])
    if one.type is bool:
        return [0, 1, "true", None, NAN]
    if one.table:
        return [0.5, "1", None, [], [[]], [1.0], [[1.0], [1.0, 2.0]], [["a"]], [[NAN]], [[-1.0]]]
    if one.type is tuple:
        return [8, "8", None, [0], [-1], [8.5], ["8"], [True], [NAN], [10**9], [[8]]]
    low, high = one.bounds or (-1e300, 1e300)
    bad = [NAN, INF, -INF, "1", None, True, [1], low - 1, high + 1, 10**400, -(10**400)]
    return bad + ([low + 0.5] if one.type is int else [])


@pytest.mark.parametrize(("card", "one"), DIALS)
def test_a_bad_value_is_refused_in_one_line_with_field_value_and_what_is_legal(card, one):
    for value in bad_values(one):
        line = refusal(make, card.kind, card.name, {one.name: value})
        field, _, rest = line.partition(": ")
        assert field.startswith(f"{card.kind}.{one.name}")
        assert rest
        if not isinstance(value, list):
            shown = value if isinstance(value, str) else repr(value)
            assert rest.startswith(shown[:50])
        legal = rest.partition("; ")[2]
        assert legal
        if one.choices:
            assert all(choice in line for choice in one.choices) or not isinstance(value, str)
        elif one.bounds is not None:
            high = one.bounds[1]
            assert (f"{high:g}" if one.type is float else str(int(high))) in legal or one.table


@pytest.mark.parametrize(("card", "one"), DIALS)
def test_a_bad_value_is_refused_by_the_constructor_as_well(card, one):
    with pytest.raises(BadInput):
        card.entry(**{one.name: bad_values(one)[2]})


def test_the_line_of_a_bad_number_is_the_one_of_the_catalogue():
    line = refusal(make, "dynamics", "GradientDescent", {"rate": NAN})
    assert line == "dynamics.rate: nan; a finite number in [1e-08, 10]"


def test_a_text_with_a_line_break_is_still_refused_in_one_line():
    for name in ("tanh\nrelu", "tanh\u2028relu", "tanh\r", "\x1b[2J"):
        line = refusal(make, "network", "MLP", {"activation": name})
        assert line.isprintable()
        assert refusal(make, "init", name).isprintable()


def test_a_long_value_is_shown_in_part():
    assert len(refusal(make, "network", "MLP", {"activation": "x" * 10_000})) < 300
    assert len(refusal(make, "network", "MLP", {"hidden": "9" * 10_000})) < 300


def test_an_integer_for_a_number_becomes_one():
    rate = make("dynamics", "GradientDescent", {"rate": 1}).rate
    assert isinstance(rate, float)
    assert rate == 1.0


def test_a_list_for_a_tuple_becomes_one():
    made = make("network", "MLP", {"hidden": [4, 5]})
    assert made.hidden == (4, 5)
    assert hash(made) == hash(make("network", "MLP", {"hidden": (4, 5)}))


# Unknown names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        ("init", "Forwrad", "Forward"),
        ("init", "forward", "Forward"),
        ("dynamics", "HeavyBal", "HeavyBall"),
        ("precision", "SPIKING", "Spiking"),
        ("dataset", "Mnist", "MNIST"),
    ],
)
def test_an_unknown_entry_offers_the_nearest(kind, name, nearest):
    for call in (make, from_dict):
        line = refusal(call, kind, name)
        assert line.startswith(f"{kind}: {name}; one of ")
        assert all(known in line for known in cards(kind))
        assert line.endswith(f"(did you mean {nearest}? is a plugin missing?)")


def test_a_name_that_is_like_no_other_may_be_that_of_a_plugin():
    line = refusal(make, "init", "qqqqqqqq")
    assert "did you mean" not in line and line.endswith(" (is a plugin missing?)")


def test_an_unknown_dial_offers_the_nearest():
    line = refusal(make, "dynamics", "HeavyBall", {"momentun": 0.5})
    assert line == ("dynamics.momentun: momentun; one of rate, momentum (did you mean momentum?)")


def test_an_unknown_kind_offers_the_nearest():
    line = refusal(cards, "precisions")
    assert line.startswith("kind: precisions; one of ")
    assert line.endswith("(did you mean precision?)")


@pytest.mark.parametrize("data", [None, 3, [], ["Zero"], {}, {"rate": 0.1}, True])
def test_data_that_is_no_entry_is_refused(data):
    assert refusal(from_dict, "dynamics", data).startswith("dynamics: ")


@pytest.mark.parametrize("name", [None, 3, ["Zero"], {"name": "Zero"}, True, NAN])
def test_a_name_that_is_no_text_is_refused(name):
    assert refusal(from_dict, "init", {"name": name}).startswith("init: ")


# Registration ------------------------------------------------------------------------------------


def test_a_name_that_is_taken_is_refused(scratch):
    @dataclass(frozen=True)
    class Zero:
        """Another."""

    with pytest.raises(ValueError, match=r"^init: 'Zero' is already the name of an entry$"):
        entry("init", "Other zero", formula="0", source="this project")(Zero)
    assert cards("init")["Zero"].title == "Zero"


def test_an_entry_may_be_imported_again(scratch, monkeypatch):
    import importlib

    from core.precisions import identity

    monkeypatch.setattr(identity, "Identity", identity.Identity)  # it comes back after the test
    importlib.reload(identity)
    assert cards("precision")["Identity"].entry is identity.Identity


def test_an_unknown_kind_of_entry_is_refused(scratch):
    with pytest.raises(ValueError, match="did you mean init"):
        entry("inits", "x", formula="x", source="x")(dataclass(frozen=True)(type("X", (), {})))


def test_a_class_that_is_no_frozen_dataclass_is_refused(scratch):
    class Plain:
        """No dataclass."""

    @dataclass
    class Open:
        """Its dials can be changed, so that it is no key."""

    class Heir(Plain):
        """No dataclass either."""

    for cls in (Plain, Open, Heir):
        with pytest.raises(ValueError, match=rf"^{cls.__name__}: no frozen dataclass; put @data"):
            entry("init", "x", formula="x", source="this project")(cls)
        assert cls.__name__ not in cards("init")


def test_entries_that_come_before_an_error_go_again(scratch):
    @entry("init", "One", formula="1", source="this project")
    @dataclass(frozen=True)
    class One:
        """One."""

    before = {kind: cards(kind) for kind in KINDS}
    with pytest.raises(KeyError), change() as added:

        @entry("energy", "Two", formula="2", source="this project")
        @dataclass(frozen=True)
        class Two:
            """Two."""

        withdraw([card_of(One)])
        assert [card.name for card in added()] == ["Two"]
        raise KeyError
    assert {kind: cards(kind) for kind in KINDS} == before


def test_a_card_that_is_withdrawn_is_gone_and_one_of_its_name_stays(scratch):
    zero = cards("init")["Zero"]
    withdraw([replace(zero, title="Another")])
    assert cards("init")["Zero"] is zero
    withdraw([zero])
    assert "Zero" not in cards("init")


def test_a_field_that_is_no_dial_is_refused(scratch):
    @dataclass(frozen=True)
    class Bare:
        """A field without a dial."""

        rate: float = 0.1

    with pytest.raises(ValueError, match=r"^rate: every field of an entry is a dial"):
        entry("init", "Bare", formula="x", source="this project")(Bare)


def test_a_default_out_of_its_bounds_is_refused(scratch):
    @dataclass(frozen=True)
    class Wild:
        """A default out of its bounds."""

        rate: float = dial(2.0, bounds=(0.0, 1.0), help="x")

    with pytest.raises(ValueError, match=r"^init\.rate: 2\.0; a finite number in \[0, 1\]$"):
        entry("init", "Wild", formula="x", source="this project")(Wild)
    assert "Wild" not in cards("init")


def test_a_new_entry_is_in_the_catalogue_at_once(scratch):
    @entry("init", "Ones", formula="h = 1", source="this project")
    @dataclass(frozen=True)
    class Ones:
        """Every state is one.

        Source: this project.
        """

        factor: float = dial(1.0, bounds=(0.0, 2.0), help="times this")

    assert list(cards("init"))[-1] == "Ones"
    assert card_of(make("init", "Ones", {"factor": 0.5})).title == "Ones"
    with pytest.raises(BadInput):
        Ones(factor=3.0)


def test_a_class_that_is_not_registered_has_no_card():
    with pytest.raises(ValueError, match="not registered"):
        card_of(object())


def test_the_table_of_cards_is_a_copy():
    cards("init").clear()
    assert cards("init")
