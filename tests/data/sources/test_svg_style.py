"""What CSS hides in SVG files, and what of it is refused."""

import pytest
from drawn_svg import corners

from sketchjax.data.sources.records import Refused

LINE = '<line x2="9"/>'
DRAWN = [[[0, 0], [9, 0]]]


@pytest.mark.parametrize(
    "attributes",
    [
        'display="none"',
        'style="display:none"',
        'style="fill:red; DISPLAY : None ;"',
        'style="display:inline;display:none"',
        'style="display:none!important;display:inline"',
        'style="/* ; */ display:none"',
        'display="inline" style="display:none"',
        'visibility="hidden"',
        'style="visibility:hidden"',
        'style="visibility: collapse"',
    ],
)
def test_hidden_lines_are_left_out(attributes):
    assert corners(f"<g {attributes}><g>{LINE}</g></g>") == []
    assert corners(f'<line x2="9" {attributes}/>') == []
    assert corners(LINE, attributes) == []
    assert corners(f"<g {attributes}/>{LINE}") == DRAWN


@pytest.mark.parametrize(
    "attributes",
    [
        'display="inline"',
        'style=""',
        'style="display:inline"',
        'display="none" style="display:inline"',
        'style="/* display:none */"',
        'style="display:none;display:block"',
        'visibility="hidden" style="visibility:visible"',
        'style="stroke-width:2;overflow:hidden;line-height:1;opacity:0"',
    ],
)
def test_shown_lines_are_drawn(attributes):
    assert corners(f"<g {attributes}>{LINE}</g>") == DRAWN


def test_only_visibility_can_be_undone_within():
    shown = f'<g visibility="visible" display="inline">{LINE}</g>'
    assert corners(f'<g style="visibility:hidden"><g>{shown}</g></g>') == DRAWN
    assert corners(f'<g style="visibility:hidden"><g visibility="inherit">{LINE}</g></g>') == []
    assert corners(f'<g style="display:none">{shown}</g>') == []


@pytest.mark.parametrize(
    "attribute, named",
    [
        ('style="transform: rotate(45deg)"', "transform"),
        ('style="fill:none;rx:5px"', "rx"),
        ('style="d:path(&quot;M0 0L1 1&quot;)"', "d"),
        ('style="width:5px"', "width"),
        ('style="transform-origin:50% 50%"', "transform-origin"),
        ('transform-origin="5 5"', "transform-origin"),
    ],
)
def test_styles_that_move_lines_are_refused(attribute, named):
    with pytest.raises(Refused, match=f"line sets '{named}' by CSS") as caught:
        corners(f"<line x2='9' {attribute}/>")
    assert caught.value.kind == "unreadable"
    assert corners(f"<defs><line {attribute}/></defs>{LINE}") == DRAWN


@pytest.mark.parametrize(
    "sheet, named",
    [
        (".st0{display:none;}", "display:none"),
        (".st0 { fill: red; Display : none }", "Display : none"),
        ("<![CDATA[.a{visibility:hidden}]]>", "visibility:hidden"),
        ("rect{rx:3}", "rx:"),
        ("g{transform:scale(2)}", "transform:"),
    ],
)
def test_style_sheets_that_matter_are_refused(sheet, named):
    for place in (f"<style>{sheet}</style>", f"<defs><style>{sheet}</style></defs>"):
        with pytest.raises(Refused, match="a style sheet has") as caught:
            corners(f"{LINE}{place}")
        assert repr(named) in caught.value.reason


def test_other_style_sheets_are_ignored():
    sheet = ".st0{fill:none;stroke-width:2;display:inline} .r:hover{stroke:red} /*display:none*/"
    assert corners(f"<style>{sheet}</style>{LINE}<desc>display:none</desc>") == DRAWN
