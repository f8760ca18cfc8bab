"""The page itself: one file that asks for nothing, quick, by keyboard, at a phone's width."""

import re
import subprocess
import sys

import pytest

WALL = "#q=linear&d=1&support=box&tau=0.25&schedule=flow&t=0.9&n=64&c=0.5&seed=1&x1=0.95"
PLANE = "#q=multimodal&d=2&support=box&tau=0.1&schedule=vp&t=0.6&n=256&c=0.5&seed=1&x1=0.3&x2=0.5"
LINE = "#q=multimodal&d=1&support=box&tau=0.1&schedule=vp&t=0.6&n=256&c=0.5&seed=1&x1=0.3"
MOVE = """
(async () => {
  const times = {};
  for (const input of document.querySelectorAll("SLIDER")) {
    if (!input.offsetParent) continue;
    const [low, high] = [Number(input.min), Number(input.max)];
    times[input.id] = [];
    const before = input.value;
    for (let i = 0; i < 7; i++) {
      const began = performance.now();
      input.value = low + ((high - low) * (i + 1)) / 7;
      input.dispatchEvent(new Event("input"));
      document.body.getBoundingClientRect();
      times[input.id].push(performance.now() - began);
      await new Promise((done) => requestAnimationFrame(done));
    }
    input.value = before;
    input.dispatchEvent(new Event("input"));
  }
  return times;
})()
"""


def test_one_file_that_asks_for_nothing(page):
    text = page.read_text()
    assert len(text.encode()) < 1_000_000
    assert not re.search(r"\w+://|@import|url\(|<script[^>]*src|fetch\(|XMLHttp|import\(", text)
    assert "default-src 'none'" in text


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "steinflow.explorer"]
    done = subprocess.run(
        [*command, "a.html"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "Open a.html\n" and (tmp_path / "a.html").stat().st_size > 10_000


@pytest.mark.browser
def test_it_loads_at_once_and_without_a_network(browser, page):
    """Under 2 s until all is drawn, no request but the page's own, and no error."""
    browser.look(1280)
    browser.events.clear()
    browser.open(page, WALL)
    loaded = browser.run("performance.timing.loadEventEnd - performance.timing.navigationStart")
    print(f"load {loaded} ms, {page.stat().st_size / 1024:.0f} KiB")
    assert loaded < 2000
    asked = {
        event["request"]["url"].split(":")[0] for event in browser.seen("Network.requestWillBeSent")
    }
    assert asked <= {"file", "data", "about"}
    assert not browser.seen("Runtime.exceptionThrown") and not browser.seen("Log.entryAdded")
    assert browser.run("document.querySelectorAll('#rows th').length") == 7


@pytest.mark.browser
@pytest.mark.parametrize("view", [LINE, PLANE])
def test_a_slider_answers_within_50_ms(browser, page, view):
    """Everything computed, laid out and drawn, at N = 256. What is asserted is the time that
    the page's thread computes, which other programs on the machine cannot take from it, once
    the browser has compiled what a first pass over the slider runs."""
    browser.look(1280)
    browser.open(page, view)
    sliders = browser.run("SLIDERS.filter((name) => document.getElementById(name).offsetParent)")
    assert len(sliders) == (6 if view == LINE else 7)
    for name in sliders:
        browser.run(MOVE.replace("SLIDER", f"#{name}"))
        before = browser.busy()
        times = browser.run(MOVE.replace("SLIDER", f"#{name}"))[name]
        each = 1e3 * (browser.busy() - before) / (len(times) + 1)
        print(f"{name}: {each:.0f} ms of work, {sorted(times)[3]:.0f} ms by the clock")
        assert each < 50, name


@pytest.mark.browser
@pytest.mark.parametrize("view", [WALL, PLANE])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off(browser, page, view, width):
    browser.look(width)
    browser.open(page, view)
    wide, room = browser.run("[document.documentElement.scrollWidth, innerWidth]")
    assert room == width and wide <= width
    outside = """[...document.querySelectorAll("main *")].filter((each) =>
      !each.closest("svg") && each.getBoundingClientRect().right > innerWidth + 1).length"""
    assert browser.run(outside) == 0
    room = "(each) => [each.scrollWidth, each.parentElement.clientWidth]"
    for inner, outer in browser.run(f"[...document.querySelectorAll('table, .plot')].map({room})"):
        assert inner <= outer


@pytest.mark.browser
def test_the_bound(browser, page):
    """The preset shows what DESIGN.md says: true score -10.85, gradient as published +2.22."""
    browser.look(1280)
    browser.open(page, PLANE)
    browser.run("document.querySelector('#presets button').click()")
    text = browser.run("document.getElementById('rows').innerText")
    assert "−10.85" in text and re.search(r"as published\s+2\.22", text)


@pytest.mark.browser
def test_the_address_holds_the_view(browser, page):
    browser.look(1280)
    browser.open(page, PLANE + "&theme=dark")
    wait = "new Promise((done) => setTimeout(() => done(location.hash), 400))"
    said = browser.run(wait)
    assert dict(part.split("=") for part in said[1:].split("&")) == dict(
        part.split("=") for part in (PLANE[1:] + "&theme=dark").split("&")
    )
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    browser.run("change({ tau: 0.5, theme: 'light' }), dress()")
    assert "tau=0.5" in browser.run(wait) and "theme=light" in browser.run("location.hash")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.open(page, "#q=nonsense&tau=-3&n=1e9&x1=zero&d=2")
    assert browser.run("[state.q, state.tau, state.n, state.d]") == ["linear", 0.01, 256, "2"]
    assert not browser.seen("Runtime.exceptionThrown")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system(browser, page, scheme):
    browser.look(1280, scheme=scheme)
    browser.open(page)
    back = browser.run("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]


@pytest.mark.browser
def test_by_keyboard(browser, page):
    """Every control is reached by Tab and named; arrows move sliders and the point."""
    browser.look(1280)
    browser.open(page, PLANE)
    count = browser.run("document.querySelectorAll('button, input, select, [tabindex]').length")
    reached = set()
    for _ in range(count):
        browser.press("Tab")
        reached.add(
            browser.run(
                "(({ id, textContent, labels, ariaLabel }) => [id || textContent, "
                "ariaLabel || labels?.[0]?.textContent || textContent, "
                "getComputedStyle(document.activeElement).outlineStyle].join('|'))"
                "(document.activeElement)"
            )
        )
    assert len(reached) == count
    for each in reached:
        _, name, outline = each.split("|")
        assert name.strip() and outline == "solid", each
    for name in browser.run("SLIDERS"):
        values = [browser.run(f"document.getElementById('{name}').focus(), state.{name}")]
        for _ in range(3):
            browser.press("ArrowLeft" if name in ("n", "t") else "ArrowRight")
            values.append(browser.run(f"state.{name}"))
        assert len(set(values)) == 4, (name, values)
    x1, x2 = browser.run("document.getElementById('noised').focus(), [state.x1, state.x2]")
    browser.press("ArrowLeft")
    browser.press("ArrowUp")
    moved = browser.run("[state.x1, state.x2]")
    assert moved[0] < x1 and moved[1] > x2
    said = browser.run(
        "new Promise((done) => setTimeout(() => done(document.getElementById('summary')), 400))"
        ".then((each) => [each.getAttribute('aria-live'), each.textContent])"
    )
    assert said[0] == "polite" and "true score is" in said[1]
