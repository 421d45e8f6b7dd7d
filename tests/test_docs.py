"""The documentation keeps its word: every entry is told of, links lead somewhere, code runs."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from core import Experiment, cards
from core.catalogue import KINDS, from_dict
from core.citations import references
from docs.site import api, checks, entries, methods, pages
from workbench import grammar
from workbench.presets import presets
from workbench.tours import tours

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*DOCS, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
GENERATED = ("methods/", "api/", "gallery.md", "api.md", "results.md")
"""Pages that are there only when the site is built."""

CATALOGUE = {kind: cards(kind) for kind in KINDS}
ENTRIES = [(kind, name) for kind, known in CATALOGUE.items() for name in known]


def named(path):
    return str(path.relative_to(ROOT))


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


# Every entry -------------------------------------------------------------------------------------


def test_every_entry_says_how_it_fails_and_when_not_to_use_it():
    assert methods.missing(CATALOGUE) == []


def test_an_entry_of_which_nothing_is_said_is_found():
    unknown = {"init": {**CATALOGUE["init"], "Mine": CATALOGUE["init"]["Zero"]}}
    assert methods.missing(unknown) == [
        "init Mine: docs/methods/init.toml; fails and avoid, in words"
    ]


def test_nothing_is_said_of_what_is_no_entry():
    for kind, said in methods.methods().items():
        assert set(said) == set(CATALOGUE[kind]), kind
    assert set(methods.TITLES) == set(KINDS)


@pytest.mark.parametrize("name", api.MODULES)
def test_a_page_of_the_api_has_something_to_tell(name):
    module = importlib.import_module(name)
    own = [one for one in vars(module).values() if getattr(one, "__module__", None) == name]
    assert getattr(module, "__all__", None) or any(one.__doc__ for one in own)


def test_a_work_is_told_as_a_reader_knows_it():
    """The title page of the paper, the year of the conference, the link of its preprint."""
    told = entries.cited("goemaere2026").replace("\\", "")
    assert told.startswith(
        "Cédric Goemaere, Gaspard Oliviers, Rafal Bogacz, and Thomas Demeester.\n"
    )
    assert "In *International Conference on Machine Learning*. 2026." in told
    assert told.endswith("[arXiv:2505.20137](https://arxiv.org/abs/2505.20137).")


@pytest.mark.parametrize("key", references())
def test_no_accent_is_told_in_latex(key):
    assert not re.search(r"[{}]|\\[a-z'\"^~=]", entries.cited(key))


@pytest.mark.parametrize(("kind", "name"), [one for one in ENTRIES if one[0] != "dataset"])
def test_what_is_shown_of_an_entry_is_legal_and_has_it_in_it(kind, name):
    method = methods.methods()[kind][name]
    assert methods.shows(method, CATALOGUE[kind][name]) == ""
    assert kind in ("learning", "weights") or (method.views and method.shows)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_the_code_of_an_entrys_page_makes_the_entry_as_its_recipe_does(kind, name):
    text = entries.page(CATALOGUE[kind][name], methods.methods()[kind][name], "x.svg", "seen")
    (code,), (recipe,) = blocks(text, "python"), blocks(text, "toml")
    here = {}
    exec(code, here)
    assert here[kind] == from_dict(kind, tomllib.loads(recipe)[kind])
    assert "## When it fails" in text and "## When not to use it" in text
    assert text.count("$") % 2 == 0 and "x.svg" in text


def test_every_formula_is_mathml_whose_bars_come_in_pairs_of_one_size():
    from xml.etree import ElementTree

    from docs.site.mathml import of_formula

    for kind, name in ENTRIES:
        card = CATALOGUE[kind][name]
        for formula in (card.formula, *re.findall(r"\$([^$]+)\$", card.doc)):
            root = ElementTree.fromstring(of_formula(formula, block=True))
            assert root.tag.endswith("math") and not root.findall(".//{*}merror"), formula
            bars = [one for one in root.iter("{*}mo") if one.text in ("‖", "⟨", "⟩")]
            assert all(one.get("stretchy") == "false" for one in bars), formula


def test_what_comes_back_is_a_section_of_its_own():
    from docs.site.returns import of_docstring

    lines = ["Add.", "", "Returns: the entry,", "    or none.", "", "Raises:", "    BadInput: no."]
    made = [*lines[:2], "Returns:", "    the entry,", "    or none.", *lines[4:]]
    assert of_docstring(lines) == made
    assert of_docstring(made) == made


def test_a_docstring_keeps_its_formulas_and_code_and_its_stars_are_no_markup():
    from docs.site.mathml import of_docstring

    lines = ["Of `a\nb`, $h^*$ and *this* one, (B, *shape), |e|."]
    said = r"Of ``a b``, :math:`h^*` and *this* one, (B, \*shape), \|e\|."
    assert of_docstring(lines) == [said]


# Links and blocks --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_links_lead_to_files_and_to_pages_of_entries_that_there_are(path):
    known = {f"methods/{kind}.md" for kind in KINDS} | {"methods/index.md"}
    known |= {f"methods/{kind}/{name}.md" for kind, name in ENTRIES}
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", path.read_text("utf-8")):
        file = target.partition("#")[0]
        if re.match(r"https?://", target) or not file:
            continue
        if path.parent.name == "docs" and file.startswith("methods/"):
            assert file in known, target
        elif not (path.parent.name == "docs" and file.startswith(GENERATED)):
            assert (path.parent / file).exists(), target


def test_pictures_of_pages_lie_where_the_site_takes_them_from():
    shown = [re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", path.read_text("utf-8")) for path in DOCS]
    assert {one.partition("/")[0] for found in shown for one in found} == set(pages.PICTURES)


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_blocks_ask_for_what_there_is(path):
    for kind, argument, body in pages.BLOCK.findall(path.read_text("utf-8")):
        if kind == "section":
            assert pages.section(argument, body.strip(), path.stem).count("\n") > 5
        elif kind == "tour":
            assert body.strip() in tours()
        else:
            asked = tomllib.loads(body)
            base = presets()[asked["preset"]].choices if "preset" in asked else {}
            Experiment.from_dict({**base, **asked.get("choices", {})})
            assert asked["caption"] and asked["views"]


def test_a_block_that_asks_for_what_there_is_not_is_refused_by_page(tmp_path):
    for block in ("```{tour}\nnowhere\n```\n", "```{section} README.md\nNowhere\n```\n"):
        with pytest.raises(ValueError, match=r"^index: (tour|section); "):
            pages.filled(block, tmp_path, "index", lambda line: None)


def test_the_concepts_page_tells_every_tour_of_the_workbench_with_its_numbers(
    monkeypatch, tmp_path
):
    # The numbers of these sentences are measured again in the tests of the tours.
    monkeypatch.setattr(pages.drawing, "once", lambda *_, **options: None)
    text = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    page = pages.filled(text, tmp_path, "concepts", lambda line: None)
    for tour in tours().values():
        assert tour.title in page and tour.about in page
        for stage in tour.stages:
            assert stage.sentence in page and re.search(r"\d", stage.sentence)


# Code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in DOCS if "```python" in p.read_text()], ids=named)
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    here = {"__name__": "a_page"}
    for block in blocks(path.read_text("utf-8"), "python"):
        exec(compile(block, named(path), "exec"), here)
    if path.stem == "first-steps":
        # One step after a forward sweep the error has reached the two top layers. The lower one has
        # moved by the rate times what pulls, and energies go with squares: at least two decades.
        said = capsys.readouterr().out
        apart = [float(one) for one in re.findall(r"\d+\.\d+", said.splitlines()[0])]
        assert apart[0] > 1.5 and apart[1] > apart[0]
        assert "steps: -1; an integer" in said
        assert (tmp_path / "figure.zip").is_file()


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_commands_of_a_page_are_commands(path):
    parser, _ = grammar.parser()
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    for line in re.findall(r"^    (?:\S+=\S+ )*(relaxoscope|make) (.+)$", _joined(path), re.M):
        words = shlex.split(line[1], comments=True)
        if line[0] == "make":
            made = [one for one in words if "=" not in one]
            assert set(made) <= set(targets), line
        else:
            args, rest = parser.parse_known_args(words)
            assert args.command and (not rest or args.command == "serve"), line


def _joined(path):
    """The text with lines that go on in the next one made whole."""
    return path.read_text("utf-8").replace("\\\n", " ")


# What a built page fetches -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("html", '<script src="https://cdn.example/x.js"></script>'),
        ("html", '<link rel="stylesheet" href="//cdn.example/x.css">'),
        ("html", '<link rel="preconnect" href="https://fonts.example">'),
        ("html", '<img alt="" src="http://cdn.example/x.png">'),
        ("html", '<img src="here.png" srcset="https://cdn.example/x.png 2x">'),
        ("html", "<style>@import url(https://cdn.example/x.css);</style>"),
        ("html", '<p style="background: url(https://cdn.example/x.png)">'),
        ("svg", '<svg><image xlink:href="https://cdn.example/x.png"/></svg>'),
        ("css", '@font-face { src: url("https://fonts.example/x.woff2"); }'),
        ("js", 'fetch("https://cdn.example/x.json")'),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(kind, text):
    assert len(checks.fetched(text, kind)) == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("html", '<a href="https://example.org">a link</a>'),
        ("html", '<link rel="canonical" href="https://example.org/x">'),
        ("html", '<script src="_static/x.js"></script><img src="x.svg">'),
        ("svg", '<svg xmlns="http://www.w3.org/2000/svg"><use xlink:href="#a"/></svg>'),
        ("css", "/* https://example.org */ a { background: url(x.png); }"),
        ("js", "// see https://example.org\nconst a = 1;"),
    ],
)
def test_links_and_what_is_here_are_not(kind, text):
    assert checks.fetched(text, kind) == []
