"""The page of a run in a real browser: opened from a file, pointed at, clicked, marked, and checked for those who see
little or use no mouse.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.browser.conftest import wait_for
from Testing.support.run_folders import write_run
from VoxelMorphRegistrationLib.propagation.frame_selection import select_frames
from VoxelMorphRegistrationLib.report.run_page import write_run_page


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return write_run_page(write_run(tmp_path_factory.mktemp("run") / "Ünder a folder"))


@pytest.fixture(scope="module")
def long_page(tmp_path_factory) -> Path:
    odd = tuple(range(100, 2000, 150))
    return write_run_page(write_run(tmp_path_factory.mktemp("long"), 2000, odd, (1234,), images=False))


MOVE, CLICK = ("mouseMoved",), ("mouseMoved", "mousePressed", "mouseReleased")


def mouse_on_chart(browser, share: float, chart: int = 0, events: tuple[str, ...] = CLICK) -> None:
    """What a mouse does on a chart, at a share of its width."""
    code = """
    const svg = document.querySelectorAll('.chart svg')[arguments[0]];
    svg.scrollIntoView({block: 'center', behavior: 'instant'});
    const area = svg.getBoundingClientRect();
    return [area.left + arguments[1] * area.width, area.top + area.height / 2];
    """
    x, y = browser.script(code, chart, share)
    for kind in events:
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def frames_shown(browser) -> list[int]:
    return browser.script("return [...document.querySelectorAll('#table tbody tr')].map(r => Number(r.dataset.frame))")


@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_opens_from_a_file_without_an_error_and_fits_the_screen(browser, page, width, theme):
    browser.requests()
    browser.open(page, width, theme)
    assert browser.errors() == [] and browser.requests() == []
    assert browser.script("return document.documentElement.scrollWidth") <= width
    assert len(browser.all(".chart svg")) == 5 and len(frames_shown(browser)) == 30
    ground = browser.script("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground[4:-1].split(",")) / 3
    assert (brightness > 200) == (theme == "light")


def test_a_click_on_a_curve_goes_to_the_frame(browser, page):
    browser.open(page)
    # Frame 9 of 0 to 29; the axis begins at 46 and ends at 586 of 600.
    mouse_on_chart(browser, (46 + 9 / 29 * 540) / 600)
    assert "chosen-frame" in browser.one("#frame-9").get_attribute("class")
    assert browser.script("return document.activeElement.id") == "frame-9"
    assert browser.one("tr.chosen").get_attribute("data-frame") == "9"
    assert browser.driver.current_url.endswith("#frame-9")
    assert "segmentation/0009.nrrd" in browser.text("#open-in-slicer")
    assert str(page.parent) in browser.text("#open-in-slicer")


def test_pointing_at_one_curve_shows_the_frame_in_all_of_them(browser, page):
    browser.open(page)
    mouse_on_chart(browser, (46 + 17 / 29 * 540) / 600, 4, MOVE)
    legends = [legend.text for legend in browser.all(".chart .legend")]
    assert len(legends) == 5 and all(legend.startswith("frame 17:") for legend in legends)
    assert "liver 40" in legends[0]


def test_the_keyboard_alone_reaches_a_frame_and_marks_it(browser, page):
    browser.open(page)
    browser.script("localStorage.clear()")
    browser.driver.refresh()
    chart = browser.one(".chart svg")
    chart.send_keys("\ue011")  # Home
    for _ in range(9):
        chart.send_keys("\ue014")  # arrow to the right
    assert chart.get_attribute("aria-valuenow") == "9"
    chart.send_keys("\ue007")  # Enter
    assert browser.script("return document.activeElement.id") == "frame-9"
    browser.driver.switch_to.active_element.send_keys("w")
    assert browser.text("#mark-count") == "1 wrong"
    browser.driver.switch_to.active_element.send_keys("p")
    browser.driver.switch_to.active_element.send_keys("n")
    assert browser.script("return document.activeElement.id").startswith("frame-")


def test_the_table_is_sorted_filtered_and_searched(browser, page):
    browser.open(page)
    headings = [button.text for button in browser.all("#table th button")]
    assert headings[:3] == ["frame", "status", "what stands out"]
    browser.all("#table th button")[headings.index("inside after")].click()
    assert frames_shown(browser)[:2] == [17, 9]  # the lowest first
    assert browser.all("#table th[aria-sort=ascending]")[0].text == "inside after"
    browser.all("#table th button")[headings.index("inside after")].click()
    assert frames_shown(browser)[-1] == 12  # what has no value comes last either way
    browser.all("#table th button")[0].click()
    browser.script("const f = document.getElementById('filter'); f.value = 'odd'; f.dispatchEvent(new Event('change'))")
    assert frames_shown(browser) == [9, 17]
    browser.script("const f = document.getElementById('filter'); f.value = 'all'; f.dispatchEvent(new Event('change'))")
    browser.one("#search").send_keys("failed")
    assert frames_shown(browser) == [12]
    assert browser.text("#count") == "rows 1 to 1 of 1, 30 frames in all"


def test_marks_survive_a_reload_and_are_exported_as_a_list_that_the_command_line_takes(browser, page, downloads):
    browser.open(page)
    browser.script("localStorage.clear()")
    browser.driver.refresh()
    assert not browser.one("#export").is_enabled()
    browser.one("#frame-17 button[data-mark=redo]").click()
    browser.script(
        "const s = document.querySelector('tr[data-frame=\"3\"] select'); s.value = 'redo';"
        "s.dispatchEvent(new Event('change'))"
    )
    browser.one("#frame-9 button[data-mark=fine]").click()
    browser.driver.refresh()
    assert browser.text("#mark-count") == "1 fine, 2 redo"
    assert browser.one("#frame-17 button[data-mark=redo]").get_attribute("aria-pressed") == "true"
    browser.one("#export").click()
    exported = downloads / "frames-redo.txt"
    wait_for(exported.is_file)
    assert select_frames(f"@{exported}", 30) == [3, 17]
    assert browser.text("#redo").endswith("--frames @frames-redo.txt --overwrite")
    browser.one("#forget").click()
    assert browser.text("#mark-count") == "none yet"


def test_outlines_can_be_hidden_to_see_the_image(browser, page):
    browser.open(page)
    shown = "return getComputedStyle(document.querySelector('.outline.before')).display"
    assert browser.script(shown) != "none"
    browser.one("#show-before").click()
    assert browser.script(shown) == "none"


def test_two_thousand_frames_answer_within_a_second(browser, long_page):
    assert long_page.stat().st_size < 10_000_000
    browser.open(long_page)
    assert len(frames_shown(browser)) == 100 and browser.errors() == []
    # The page's own time from an event until everything is laid out again, without the way through the driver.
    seconds = """
    const spent = (act) => {
      const start = performance.now(); act(); document.body.offsetHeight; return (performance.now() - start) / 1000;
    };
    const chart = document.querySelectorAll('.chart svg')[1];
    const area = chart.getBoundingClientRect();
    const mouse = (kind, share) => chart.dispatchEvent(
      new PointerEvent(kind, {clientX: area.left + share * area.width, clientY: area.top + 20, bubbles: true}));
    const filter = document.getElementById('filter');
    return {
      point: spent(() => mouse('pointermove', 0.4)),
      choose: spent(() => mouse('click', 0.7)),
      sort: spent(() => document.querySelectorAll('#table th button')[3].click()),
      filter: spent(() => { filter.value = 'odd'; filter.dispatchEvent(new Event('change')); }),
      mark: spent(() => document.querySelector('.marks button').click()),
    };
    """
    spent = browser.script(seconds)
    assert max(spent.values()) < 1.0, spent
    opened = browser.script("return performance.timing.loadEventEnd - performance.timing.navigationStart")
    assert opened < 5000, opened
    mouse_on_chart(browser, 0.5)
    assert 900 < int(browser.one("tr.chosen").get_attribute("data-frame")) < 1100


@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing(browser, page, width, theme):
    axe = pytest.importorskip("axe_selenium_python", reason="axe-selenium-python is not installed")
    browser.open(page, width, theme)
    checker = axe.Axe(browser.driver)
    checker.inject()
    found = [
        f"{violation['id']}: {node['html'][:120]}"
        for violation in checker.run()["violations"]
        for node in violation["nodes"]
    ]
    assert found == []


def test_a_page_of_a_run_that_was_killed_says_how_old_it_is(browser, tmp_path):
    from VoxelMorphRegistrationLib.report.run_page import PageSettings

    out = write_run(tmp_path, 6, odd=(), failed=(), wanted=9, images=False)
    page = write_run_page(out, settings=PageSettings(state="running"))
    browser.open(page)
    assert not browser.one("#stale").is_displayed()
    text = page.read_text(encoding="utf-8")
    made = text.split('data-made="')[1].split('"')[0]
    page.write_text(text.replace(f'data-made="{made}"', f'data-made="{float(made) - 7500}"'), encoding="utf-8")
    browser.open(page)
    assert "This page is 2 hours old." in browser.text("#stale") and "the run was killed" in browser.text("#stale")


def test_it_prints_light_and_whole_with_what_cannot_be_clicked_left_out(browser, page):
    browser.open(page)
    browser.script("localStorage.clear()")
    pdf = browser.print(page)
    assert pdf.startswith(b"%PDF") and 2 <= pdf.count(b"/Type /Page\n") <= 8
    ground, text = browser.script(
        "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color].map(c => c.match(/\\d+/g)[0])"
    )
    assert int(ground) == 255 and int(text) == 0
    assert browser.script("return document.documentElement.scrollWidth") <= 703
    widest = browser.script(
        "return Math.max(...[...document.querySelectorAll('td')].map(c => c.getBoundingClientRect().right))"
    )
    assert widest <= 703
    shown = [one.text for one in browser.all("button") if one.is_displayed() and one.text]
    assert all(text.startswith("frame ") for text in shown), shown
    headings = browser.script("return [...document.querySelectorAll('#table th')].map(h => h.dataset.title)")
    assert headings[0] == "frame" and "computing (s)" in headings
