"""Markup: escaped text and tables."""

from __future__ import annotations

from fewer.report.markup import details, esc, name, section, table, td, visible


def test_names_cannot_turn_the_text_around() -> None:
    assert "\u202e" not in esc("x\u202eevil")
    assert esc("مرحبا") == "مرحبا"


def test_text_is_escaped_cut_and_freed_of_controls() -> None:
    assert esc("<a href='x'>&\"") == "&lt;a href=&#x27;x&#x27;&gt;&amp;&quot;"
    assert esc("a\x00b\x1bc\ud800d") == "a\ufffdb\ufffdc\ufffdd"
    assert esc("abcdef", 4) == "abc…"
    assert esc("abcd", 4) == "abcd"
    assert visible("<b>", 300) == "<b>", "for drawings, which are not HTML"


def test_cells_hold_a_text_or_a_number_with_its_exact_value() -> None:
    assert td(esc("x")) == "<td>x</td>"
    assert td(esc("1.2 k"), 1234) == '<td class="n" title="1234">1.2 k</td>'
    assert td(esc("0"), 0) == '<td class="n" title="0">0</td>'
    assert name("<x>") == "<bdi>&lt;x&gt;</bdi>"


def test_a_table_has_a_header_in_each_row_and_numbers_on_the_right() -> None:
    html = table(["class", "share"], [[td(esc("a")), td(esc("1 %"), 0.01)]], "Shares <1>", kind="wide")
    assert '<th scope="col">class</th><th scope="col" class=n>share</th>' in html
    assert '<tr><th scope="row">a</th><td class="n" title="0.01">1 %</td></tr>' in html
    assert "<caption>Shares &lt;1&gt;</caption>" in html
    assert html.startswith('<div class="scroll" tabindex="0"')


def test_details_open_on_a_click_and_sections_have_an_anchor() -> None:
    assert details("More", esc("x"), label="More of <x>") == (
        '<details><summary aria-label="More of &lt;x&gt;">More</summary>x</details>'
    )
    assert "aria-label" not in details("More", esc("x"))
    assert section("A & B", "lead", esc("x"), "a").startswith('<section id="a"><header><h2>A &amp; B</h2><p>lead</p>')
