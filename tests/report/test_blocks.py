"""Cards and what is left of them when there is no room."""

from sslprep.report.blocks import Card, Lines, Section, fit


def test_what_matters_most_stays_when_there_is_no_room() -> None:
    first, second = Card(anchor="a", title="a"), Card(anchor="b", title="b")
    late, early = (Lines(title=t, lines=[], rank=r) for t, r in (("late", 2), ("early", 0)))
    big, small = (Lines(title=t, lines=[], rank=1) for t in ("big", "small"))
    first.blocks += [late, early]
    second.blocks += [big]
    second.folded += [small]
    gone = fit([first, second], {late: 1000, early: 1000, big: 9000, small: 100}, 2000)
    assert gone == 2
    assert [block.title for block in first.blocks] == ["early"]
    assert [block.title for block in (*second.blocks, *second.folded)] == ["small"]
    assert first.notes == ["“late” is left out: the page would become too large."]


def test_the_table_of_a_section_stays_longest() -> None:
    """The comparison of 110 sets was left out, and the charts of each were shown."""
    card, section = Card(anchor="a", title="a"), Section(anchor="s", title="s", lead="l")
    table, chart = (Lines(title=t, lines=[]) for t in ("table", "chart"))
    section.blocks += [table]
    card.blocks += [chart]
    assert fit([card, section], {table: 900, chart: 200}, 1000) == 1
    assert section.blocks == [table]
    assert card.blocks == []


def test_notes_are_limited() -> None:
    card = Card(anchor="a", title="a")
    for i in range(100):
        card.note(f"note {i}")
        card.note(f"note {i}")
    assert len(card.notes) == 13
    assert card.notes[-1] == "… and more"
