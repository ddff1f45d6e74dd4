"""The page in a browser: what it shows is what the run knows, and everything on it can be reached."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import attrs
import pytest

import mutatenn
from mutatenn import Status


def found(page: Any) -> int:
    """Return how many mutants the page says that it lists."""
    return int(page.text_content("#found").split()[0].replace(",", ""))


def chip_numbers(page: Any) -> dict[str, int]:
    buttons = page.query_selector_all("#statuses button")
    return {
        each.get_attribute("data-status"): int(each.query_selector(".chip").text_content())
        for each in buttons
    }


def settled(page: Any, number: int) -> None:
    page.wait_for_function(
        "number => document.getElementById('found').textContent.startsWith(`${number} mutant`)", arg=number
    )


def test_it_counts_as_the_json_report_does(reported: Any, tab: Any) -> None:
    reporter = mutatenn.PluginHost.installed().get("reporter", "json")()
    reporter.report(reported.run, reported.page.parent)
    report = json.loads((reported.page.parent / "report.json").read_text())
    page = tab.open(reported.page)
    for environment in report["environments"]:
        page.select_option("#environment", environment["name"])
        counts = {status: number for status, number in environment["score"]["counts"].items() if number}
        page.wait_for_function(
            "name => location.hash.includes(`environment=${name}`)", arg=environment["name"]
        )
        page.click("#filters button[type=reset]")
        page.select_option("#environment", environment["name"])
        settled(page, environment["mutants"])
        assert chip_numbers(page) == counts
        card = page.locator(".card", has=page.locator(f"h3 >> text='{environment['name']}'"))
        assert card.locator(".score").inner_text().startswith(f"{environment['score']['value']:.2f}")
        assert (
            f"{environment['score']['detected']} detected of {environment['score']['valid']} valid"
            in card.inner_text()
        )


def test_survivors_come_first_and_the_closest_of_them(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    survived = {
        name
        for environment in reported.run.environments
        for name, status in reported.run.statuses(environment).items()
        if status == Status.SURVIVED
    }
    assert found(page) == len(survived)
    first = page.text_content("#list .row .name")
    closest = [mutatenn.closest_survivors(reported.run, name)[0].mutant for name in reported.run.environments]
    assert first in closest
    detail = page.text_content("#detail")
    assert first in detail
    assert f"mutatenn show {reported.run.directory} {first}" in detail
    assert "nearest images" in detail
    assert page.locator("#detail img.thumbnail").count() > 0


def test_filters(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    records = reported.run.mutants
    page.click("#filters button[type=reset]")
    settled(page, len(records))
    page.select_option("#operator", "store-int16")
    settled(page, sum(record.operator == "store-int16" for record in records))
    page.click("#statuses [data-status=killed]")
    killed = [
        r
        for r in records
        if r.operator == "store-int16" and "killed" in {v.status for v in r.verdicts.values()}
    ]
    settled(page, len(killed))
    page.click("#filters button[type=reset]")
    layer = next(
        record.mutant.layers for record in records if len(record.sites) == 1 and record.mutant.layers
    )
    page.select_option("#layer", ", ".join(layer))
    settled(page, sum(record.mutant.layers == layer for record in records))
    page.click("#filters button[type=reset]")
    page.fill("#text", "RELU-to-sigmoid main")
    settled(page, sum(record.operator == "relu-to-sigmoid" for record in records))
    page.fill("#text", "no such thing")
    settled(page, 0)
    assert page.locator("#list .row").count() == 0


def test_order(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page, "#environment=cpu&status=killed&sort=killed")
    kills = [verdict.killed for verdict in reported.run.verdicts("cpu", Status.KILLED)]
    shown = [text.rpartition(" ")[2] for text in page.locator("#list .row .chip").all_inner_texts()]
    images = len(reported.run.image_names)
    assert shown == [f"{number}/{images}" for number in sorted(kills, reverse=True)][: len(shown)]


def test_a_link_to_a_mutant(reported: Any, tab: Any) -> None:
    record = reported.run.mutants[-1]
    page = tab.open(reported.page, f"#mutant={record.id}")
    assert page.text_content("#detail h3") == record.id
    assert page.locator("#list .row[aria-selected=true] .name").inner_text() == record.id
    diff = next(iter(reported.run.changes(record.id).values()))
    added = [line for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert added
    shown = page.locator("#detail .diff .add").all_inner_texts()
    assert [line.rstrip("\n") for line in shown[: len(added)]] == added
    page = tab.open(reported.page, "#mutant=not.there")
    assert page.text_content("#detail") == "No mutant not.there is in this run."


def test_a_link_keeps_what_is_chosen(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    page.click("#statuses [data-status=killed]")
    page.select_option("#operator", "store-int16")
    page.wait_for_function("location.hash.includes('operator=store-int16')")
    number, fragment = found(page), page.evaluate("location.hash")
    again = tab.open(reported.page, fragment)
    assert found(again) == number
    assert again.input_value("#operator") == "store-int16"


def test_the_keyboard_is_enough(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page, "#sort=plan")
    ids = [record.id for record in reported.run.mutants]
    page.focus("#list")
    for key, expected in (("ArrowDown", 0), ("ArrowDown", 1), ("End", -1), ("ArrowUp", -2), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_function(
            "id => document.querySelector('#detail h3')?.textContent === id", arg=ids[expected]
        )
        chosen = page.get_attribute("#list", "aria-activedescendant")
        assert page.locator(f"#{chosen} .name").inner_text() == ids[expected]
        assert page.locator(f"#{chosen}").is_visible()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"


def test_what_ended_differently(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page, "#differs=1")
    comparison = mutatenn.compare([reported.run], oracles={})
    assert found(page) == comparison.divergences.total()


def test_a_cell_of_the_heat_map_lists_its_mutants(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    page.locator("#layers").scroll_into_view_if_needed()
    cell = page.locator(".heat td[data-n]").first
    cell.wait_for()
    operator, layer, number = (cell.get_attribute(f"data-{key}") for key in ("operator", "layer", "n"))
    cell.click()
    page.wait_for_function("name => document.getElementById('operator').value === name", arg=operator)
    page.wait_for_function("location.hash.includes('layer=')")
    alike = [
        r for r in reported.run.mutants if r.operator == operator and ", ".join(r.mutant.layers) == layer
    ]
    assert found(page) == len(alike)
    assert int(number) == sum("cpu" in record.verdicts for record in alike)


def test_an_image_lists_what_it_kills(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    worth = mutatenn.worth(mutatenn.kill_matrix(reported.run, "cpu"))
    image, kills = next(iter(worth.kills.items()))
    page.locator("#images details summary").first.click()
    page.locator("#images tbody th a", has_text=image).first.click()
    page.wait_for_function("location.hash.includes('image=')")
    settled(page, kills)


def test_the_kill_matrix(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    page.locator(".matrix").first.scroll_into_view_if_needed()
    canvas = page.locator(".matrix canvas").first
    canvas.wait_for()
    canvas.hover(position={"x": 3, "y": 3})
    matrix = mutatenn.kill_matrix(reported.run, "cpu")
    best = max(zip(matrix.kills(), matrix.images, strict=True), key=lambda pair: pair[0])[1]
    told = page.text_content("#tip")
    assert told.startswith(f"{best} kills ") or told.split()[1] == "kills"
    canvas.click(position={"x": 3, "y": 3})
    page.wait_for_function("location.hash.includes('group=0')")
    most = matrix.killed().max()
    rows = {matrix.bits[row].tobytes() for row in range(len(matrix.mutants)) if matrix.killed()[row] == most}
    numbers = [sum(matrix.bits[row].tobytes() == each for row in range(len(matrix.mutants))) for each in rows]
    assert found(page) in numbers


def test_tables_sort(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    table = page.locator("#operators table").first
    table.get_by_role("button", name="score", exact=True).click()
    scores = [float(text) for text in table.locator("tbody td:nth-child(9)").all_inner_texts() if text != "-"]
    assert scores == sorted(scores, reverse=True)
    table.get_by_role("button", name="operator").click()
    table.get_by_role("button", name="operator").click()
    names = table.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    assert table.locator("th[aria-sort=ascending]").inner_text().strip().startswith("operator")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_width(reported: Any, tab: Any, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 800})
    page = tab.open(reported.page)
    height = page.evaluate("document.body.scrollHeight")
    for y in range(0, height, 700):
        page.evaluate(f"scrollTo(0, {y})")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_light_and_dark(reported: Any, tab: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    tab.page.emulate_media(color_scheme="dark")
    page = tab.open(reported.page)
    dark = page.evaluate(colour)
    page.click("#scheme")
    light = page.evaluate(colour)
    assert (dark, light) == ("rgb(13, 17, 23)", "rgb(255, 255, 255)")
    page.emulate_media(color_scheme="light")
    page.click("#scheme")
    assert page.evaluate(colour) == dark


def test_paper_has_the_closest_survivors(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    assert not page.is_visible(".paper")
    page.emulate_media(media="print")
    assert page.is_visible(".paper table")
    assert not page.is_visible("#explorer")
    closest = mutatenn.closest_survivors(reported.run, "cpu")[0].mutant
    assert closest in page.inner_text(".paper")


def test_without_scripts_the_tables_are_there(reported: Any, browser: Any) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(reported.page.as_uri())
    assert page.is_visible(".paper table")
    assert page.is_visible("#operators table")
    assert "needs JavaScript" in page.inner_text("noscript")
    page.close()


def test_every_control_has_a_name(reported: Any, tab: Any) -> None:
    page = tab.open(reported.page)
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, a, [role=listbox], [tabindex='0']")]
        .filter((each) => !each.closest("[hidden]"))
        .filter((each) => !each.textContent.trim() && !each.getAttribute("aria-label"))
        .filter((each) => !each.labels?.length)
        .map((each) => each.outerHTML)"""
    )
    assert unnamed == []


def test_an_earlier_run(reported: Any, tab: Any, write: Any, tmp_path: Path) -> None:
    """Of the earlier run one verdict is changed by hand: its mutant is newly surviving, or noticed, since."""
    shutil.copytree(reported.run.directory, tmp_path / "earlier")
    name = next(iter(reported.run.verdicts("cpu", Status.SURVIVED))).mutant
    with sqlite3.connect(tmp_path / "earlier" / "campaign.sqlite") as database:
        database.execute(
            "UPDATE verdicts SET status = 'crashed', record = json_set(record, '$.killed', 0) "
            "WHERE environment = 'cpu' AND mutant = ?",
            (name,),
        )
    run = attrs.evolve(reported.run, against=mutatenn.open_run(tmp_path / "earlier"))
    page = tab.open(write(run, tmp_path), "#since=surviving")
    assert found(page) == 1
    assert page.text_content("#list .row .name") == name
    assert "1 newly surviving, 0 newly noticed, 0 new, 0 gone" in page.inner_text(".cards")
    page.click("#list .row")
    page.wait_for_selector("#detail dd >> text=newly surviving")


def test_a_mutant_counts_once(reported: Any, tab: Any) -> None:
    """Of all environments together, a button counts the mutants that ended so in any."""
    page = tab.open(reported.page)
    for status, number in chip_numbers(page).items():
        page.click("#filters button[type=reset]")
        settled(page, len(reported.run.mutants))
        page.click(f"#statuses [data-status={status}]")
        settled(page, number)
