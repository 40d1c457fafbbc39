"""The page of all runs, in a browser without a window."""

import dataclasses
import re
import shutil
import signal
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from experiments.dashboard import server
from jaxrl.errors import InputError
from tests.experiments.made_up import append, config_of, write
from tests.experiments.runs import files, start

pytest.importorskip("dash_ag_grid")
api = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
CURVES = np.array([[0.0, 100.0, 200.0, 300.0], [0.0, 200.0, 300.0, 400.0]])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with two runs, one of which is unfinished, and a folder of something else."""
    root = tmp_path_factory.mktemp("runs")
    config = config_of(2, 3)
    hyper = config.hyperparameters
    write(root / "one", CURVES[:, :2], config)
    other = dataclasses.replace(config, hyperparameters=hyper | {"discount": 0.5})
    write(root / "two", CURVES[:, ::-1] + 50.0, dataclasses.replace(other, env="Acrobot-v1"))
    (root / "foreign").mkdir()
    Image.new("RGB", (40, 30), "red").save(root / "two" / "learning_curve.png")
    return root


@pytest.fixture(scope="module")
def link(runs):
    """The address of the page, which is served by a process of its own until Ctrl-C."""
    process = start(["dashboard", str(runs), "--port", "0", "--no-browser"])
    assert process.stdout is not None
    line = process.stdout.readline()
    yield re.search(r"http://127\.0\.0\.1:\d+", line)[0]  # pyright: ignore
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in err, err


@pytest.fixture(scope="module")
def page(link):
    """The page in a browser that can reach no other host, and what it asked for."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                  "--disable-background-networking", "--disable-component-update",
                  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )  # fmt: skip
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.asked, page.told = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.told.append((message.type, message.text)))
        page.goto(link)
        page.locator("#curves .scatterlayer .trace").first.wait_for(timeout=60_000)
        yield page
        browser.close()


def expect_rows(page, *names):
    """Wait until the rows of these runs are on the page, in this order."""
    rows, found = page.locator("#runs .ag-pinned-left-cols-container .ag-row"), []
    read = "rows => rows.map(x => [Number(x.getAttribute('row-index')), x.getAttribute('row-id')])"
    for _ in range(100):
        found = [name for _, name in sorted(rows.evaluate_all(read))]
        if found == list(names):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{found} are shown, not {names}.")


def row(page, name):
    """The text of the row of a run."""
    return page.locator(f"#runs .ag-center-cols-container .ag-row[row-id='{name}']").inner_text()


@needs_browser
def test_the_page_lists_the_runs_and_why_others_are_none(page):
    api.expect(page.locator("#count")).to_have_text("3 runs: 1 finished, 1 stopped, 1 unreadable")
    api.expect(page.locator("#runs .ag-center-cols-container .ag-row")).to_have_count(3)
    for text in ("ppo", "CartPole-v1", "150", "stopped"):
        assert text in row(page, "one")
    assert "is not a results folder: it has no config.json." in row(page, "foreign")


@needs_browser
def test_curves_are_shown_in_a_panel_for_each_environment(page):
    assert page.locator("#curves .subplot").count() >= 2
    titles = page.locator("#curves .annotation-text").all_text_contents()
    assert titles == ["CartPole-v1", "Acrobot-v1"]
    page.get_by_label("seconds of training").check()
    api.expect(page.locator("#curves .xtitle")).to_have_text("seconds of training")
    page.get_by_label("environment steps").check()
    api.expect(page.locator("#curves .xtitle")).to_have_text("environment steps")


@needs_browser
def test_the_difference_of_configuration_is_shown(page):
    table = page.locator("#differences table")
    for text in ("discount", "0.5", "env", "Acrobot-v1"):
        api.expect(table).to_contain_text(text)
    api.expect(table.locator("tbody tr")).to_have_count(2)


@needs_browser
def test_pictures_are_shown(page):
    loaded = "image => image.complete && image.naturalWidth"
    assert page.locator("#pictures img").evaluate(loaded) == 40


@needs_browser
def test_the_table_is_sorted_and_filtered(page):
    head = page.locator("#runs .ag-header-cell[col-id='return']")
    head.click()
    api.expect(head).to_have_attribute("aria-sort", "ascending")
    expect_rows(page, "foreign", "two", "one")
    head.click()
    api.expect(head).to_have_attribute("aria-sort", "descending")
    expect_rows(page, "one", "two", "foreign")
    page.locator("#search").fill("acrobot")
    expect_rows(page, "two")
    page.locator("#search").fill("")
    expect_rows(page, "one", "two", "foreign")


@needs_browser
def test_a_zoom_stays_until_other_axes_are_drawn(page):
    ticks = page.locator("#curves .xtick text")
    whole = ticks.all_text_contents()
    box = page.locator("#curves .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 150, steps=5)
    page.mouse.up()
    api.expect(ticks).not_to_have_text(whole)
    zoomed = ticks.all_text_contents()
    page.get_by_label("each seed").check()
    api.expect(page.locator("#curves .scatterlayer .trace")).to_have_count(8)
    assert ticks.all_text_contents() == zoomed
    page.get_by_label("rounds of learning").check()
    api.expect(ticks).not_to_have_text(zoomed)
    page.get_by_label("environment steps").check()
    page.get_by_label("each seed").uncheck()
    api.expect(page.locator("#curves .scatterlayer .trace")).to_have_count(4)


@needs_browser
def test_choice_and_curves_follow_the_table_and_the_files(page, runs):
    box = page.locator("#runs .ag-row[row-id='two'] input[type=checkbox]")
    box.uncheck()
    api.expect(page.locator("#curves .annotation-text")).to_have_count(0)
    path = page.locator("#curves .scatterlayer .trace path.js-line").last
    before = path.get_attribute("d")
    append(runs / "one", config_of(2, 3), CURVES, 2)
    written = files(runs)
    api.expect(path).not_to_have_attribute("d", before, timeout=20_000)
    assert "350" not in row(page, "one") and "250" in row(page, "one")
    assert not box.is_checked()  # the choice stays
    assert files(runs) == written  # nothing but what is trained writes there


@needs_browser
def test_nothing_is_asked_of_other_hosts_and_nothing_goes_wrong(page, link):
    buttons = page.locator("#curves .modebar-btn")
    offered = [button.get_attribute("data-title") for button in buttons.all()]
    assert "Zoom" in offered and not [x for x in offered if "hare" in x or "loud" in x], offered
    assert [url for url in page.asked if not url.startswith((link, "data:", "blob:"))] == []
    assert [text for kind, text in page.told if kind == "error"] == []


def test_only_pictures_are_served_and_only_to_this_machine(link, runs):
    assert urllib.request.urlopen(f"{link}/picture/two/learning_curve.png").status == 200
    for place in ("two/config.json", "two/../one/config.json", "two/%2e%2e/one/metrics.csv"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{link}/picture/{place}")
    request = urllib.request.Request(link, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)


def test_a_port_in_use_is_one_sentence(link, runs):
    port = link.rpartition(":")[2]
    with pytest.raises(InputError, match=f"Port {port} cannot be used"):
        server.bound(int(port))
