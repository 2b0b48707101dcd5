#!/usr/bin/env python3
"""The page of `flowlog report` in headless Chromium, offline: no error on the console, no request, the numbers of
`--format json`, filters, keyboard, both themes, hostile names.

    page_tests.py --flowlog PATH [--chromium PATH] [--shots DIR]

Exits with 0 and `skipped:` lines where there is no Chromium. What the page sums is summed here once more, from the JSON alone.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from axe_playwright_python.sync_playwright import Axe

from checks import Checks

BROWSERS = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]
CHARTS = ["time", "talkers", "sources", "flows", "ports", "coverage", "interfaces"]
HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id subnet-id instance-id interface-tag"
HOSTILE = "%3C%2Fscript%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"


def report(flowlog, folder, data, by="local"):
    """Ingests data; the page, and its numbers as `--format json` has them."""
    store, page = folder / "flowlog.db", folder / "report.html"
    subprocess.run([flowlog, by, data, "--store", store], check=True, capture_output=True, timeout=900)
    subprocess.run([flowlog, "report", "--store", store, "-o", page], check=True, capture_output=True, timeout=300)
    done = subprocess.run([flowlog, "report", "--store", store, "--format", "json"], check=True, capture_output=True, timeout=300)
    return page, json.loads(done.stdout)


def read_table(page, name):
    """The body of a table as lists of cells; numbers where a cell is one."""
    rows = page.evaluate(
        "id => [...document.querySelectorAll(`#${id}-table tbody tr`)].map(r => [...r.cells].map(c => c.textContent))", name)

    def cell(text):
        plain = text.replace(",", "")
        return int(plain) if plain.isdigit() else text

    return [[cell(text) for text in row] for row in rows]


def cards(page):
    return page.evaluate("() => Object.fromEntries([...document.querySelectorAll('.card')].map(c => [c.dataset.name, Number(c.dataset.exact)]))")


def expected_cards(data, keep):
    kept = [i for n, i in enumerate(data["interfaces"]) if keep(n, i)]
    chosen = [i["totals"] for i in kept]
    vpcs = {i["vpc"] for i in kept}
    # An alert may be of a whole VPC, which is there if its interfaces are.
    whole = {v for v in vpcs if all(keep(n, i) for n, i in enumerate(data["interfaces"]) if i["vpc"] == v)}
    places = {i["id"] for i in kept} | whole
    return {
        "accepted bytes": sum(t["accepted"]["bytes"] for t in chosen),
        "accepted records": sum(t["accepted"]["records"] for t in chosen),
        "refused records": sum(t["rejected"]["records"] for t in chosen),
        "interfaces": len(chosen),
        "SKIPDATA: gaps": sum(t["skipdata"] for t in chosen),
        "alerts": sum(1 for a in data["alerts"] if len(chosen) == len(data["interfaces"]) or a["interface"] in places),
    }


def expected_talkers(data, keep):
    """Address, records, bytes to it, bytes from it, interfaces; heaviest first."""
    kept = {n for n, i in enumerate(data["interfaces"]) if keep(n, i)}
    rows = []
    for talker in data["talkers"]:
        by = [b for b in talker["by"] if b[0] in kept]
        if by:
            rows.append([talker["address"]] + [sum(b[k] for b in by) for k in (1, 2, 3)] + [len(by)])
    return sorted(rows, key=lambda r: -(r[2] + r[3]))


def expected_refused(data, kept):
    """As in the table: source, host, port, protocol, records, interface, question."""
    names = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
    return [[r["client"], r["server"], r["port"], names[r["protocol"]], records, data["interfaces"][at]["id"],
             f"flowlog why {r['client']} {r['server']}" + (f":{r['port']}" if r["port"] else "")]
            for r in data["refused"] for at, records in r["by"] if at in kept]


def check_numbers(checks, page, data, keep, where):
    checks.equal(f"{where}: totals", cards(page), expected_cards(data, keep))
    talkers = [[row[0], *row[2:]] for row in read_table(page, "talkers")]
    checks.equal(f"{where}: talkers", sorted(map(str, talkers)), sorted(map(str, expected_talkers(data, keep))))
    kept = {n for n, i in enumerate(data["interfaces"]) if keep(n, i)}
    points = {}
    for n in kept:
        for at, accepted, records, rejected, other, nodata, skipdata in data["interfaces"][n]["series"]:
            point = points.setdefault(at, [0] * 6)
            for k, value in enumerate((accepted, records, rejected, other, nodata, skipdata)):
                point[k] += value
    checks.equal(f"{where}: every point in time", [row[1:] for row in read_table(page, "time")], [points[at] for at in sorted(points)])
    sources = {s["address"]: sum(b[1] for b in s["by"] if b[0] in kept) for s in data["sources"]}
    checks.equal(f"{where}: sources", {row[0]: row[2] for row in read_table(page, "sources")}, {a: n for a, n in sources.items() if n})
    refused = read_table(page, "refused")
    checks.equal(f"{where}: refused connections", sorted(map(str, refused)), sorted(map(str, expected_refused(data, kept))))
    checks.equal(f"{where}: or that there is none", page.is_visible("#refused-none"), not refused)
    ports = sorted(sum(b[2] for b in p["by"] if b[0] in kept) for p in data["ports"])
    checks.equal(f"{where}: ports", sorted(row[1] for row in read_table(page, "ports")), [n for n in ports if n])


def open_page(context, path, errors, requests):
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}"))
    started = time.monotonic()
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=20_000)
    return page, time.monotonic() - started


def check_words(checks, page, flowlog, path, data):
    """What an alert is called, what is missing, and what the page was made of."""
    store = path.parent / "flowlog.db"
    alerts = read_table(page, "alerts")
    checks.equal("alerts say their keys and states", sorted((row[7], row[3]) for row in alerts),
                 sorted((a["key"], "open" if a["open"] else "over") for a in data["alerts"]))
    done = subprocess.run([flowlog, "silence", alerts[0][7], "--store", store], capture_output=True, text=True, timeout=60)
    checks.that("a key is what silence takes", done.returncode == 0 and "[[suppress]]" in done.stdout, done.stderr)
    checks.that("there are refused connections", len(read_table(page, "refused")) > 0)
    words = read_table(page, "refused")[0][6].split(" ")[1:]
    done = subprocess.run([flowlog, *words, "--store", store], capture_output=True, text=True, timeout=60)
    checks.that("what a refused connection is asked with is understood", done.returncode == 0 and "refused" in done.stdout, done.stderr)
    checks.equal("what is missing is said", page.locator("#incomplete li").all_inner_texts(),
                 [f"Incomplete: {why}" for why in data["rests_on"]["incomplete"]])
    made = page.inner_text("#made")
    checks.that("the page says when it was made, by what and from what",
                re.fullmatch(rf"Made \d{{4}}-\d\d-\d\d \d\d:\d\d UTC by flowlog {re.escape(data['version'])} from {re.escape(str(store))}\.", made), made)
    checks.equal("interfaces have their accounts", {row[3] for row in read_table(page, "interfaces")},
                 {int(i["account"]) for i in data["interfaces"]})
    page.fill("#address", "nobody")
    shown = [page.is_visible(q) for q in ("#alerts-none", "#refused-none", "#alerts-table", "#refused-table")]
    checks.equal("where there is none it says so", shown, [True, True, False, False])
    checks.equal("in words", page.inner_text("#alerts-none"), "No alert in this time.")
    page.click("#clear")


def check_day(checks, browser, flowlog, path, data, shots):
    errors, requests = [], []
    for name, size, scheme in [("desktop", (1360, 900), "light"), ("desktop-dark", (1360, 900), "dark"), ("phone", (390, 844), "light")]:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True)
        page, _ = open_page(context, path, errors, requests)
        if shots:
            page.screenshot(path=shots / f"{name}.png", full_page=True)
        width = page.evaluate("document.documentElement.scrollWidth")
        checks.that(f"{name}: nothing is wider than the window", width <= size[0], f"{width} pixels")
        empty = [c for c in CHARTS if page.locator(f"#{c}-chart canvas").count() == 0]
        checks.equal(f"{name}: every chart is drawn", empty, [])
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        audit = Axe().run(page).response
        wrong = [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:120]}" for v in audit["violations"]]
        checks.that(f"{name}: axe finds nothing wrong for assistive technology", not wrong and len(audit["passes"]) > 30, "; ".join(wrong))
        titles = page.evaluate("names => names.map(n => document.getElementById(`${n}-title`).textContent)", CHARTS)
        labels = [page.locator(f"#{c}-chart").get_attribute("aria-label") for c in CHARTS]
        checks.equal(f"{name}: every chart says what it shows, and where its numbers are", labels,
                     [f"Chart: {t}. Its numbers are in the table below it." for t in titles])
        context.close()

    context = browser.new_context(viewport={"width": 1360, "height": 900}, offline=True)
    page, _ = open_page(context, path, errors, requests)
    everything = lambda n, i: True
    check_words(checks, page, flowlog, path, data)
    check_numbers(checks, page, data, everything, "all")
    vpc = data["interfaces"][0]["vpc"]
    page.select_option("#vpc", vpc)
    check_numbers(checks, page, data, lambda n, i: i["vpc"] == vpc, "one VPC")
    one = data["interfaces"][0]["id"]
    page.click("#clear")
    page.click(f"#interfaces-table button:text-is('{one}')")
    check_numbers(checks, page, data, lambda n, i: i["id"] == one, "one interface, by its row")
    checks.that("the filter is said", one in page.inner_text("#chosen") and page.get_attribute("#chosen", "aria-live") == "polite")
    focused = "document.activeElement.id"
    checks.equal("the focus is on what was chosen, since the button is gone", page.evaluate(focused), "chosen")
    page.click("#clear")
    page.focus(f"#interfaces-table button:text-is('{one}')")
    page.keyboard.press("Enter")
    checks.equal("and so by the keyboard", page.evaluate(focused), "chosen")
    box = page.locator("#chosen").bounding_box()
    checks.that("where it is seen", 0 <= box["y"] and box["y"] + box["height"] <= 900, str(box))
    page.go_back()
    checks.equal("the way back does not lose it", page.evaluate(focused), "chosen")
    page.click("#clear")
    before = page.inner_text("#chosen")
    page.locator("#talkers-chart").scroll_into_view_if_needed()
    box = page.locator("#talkers-chart").bounding_box()
    page.mouse.click(box["x"] + 140, box["y"] + 43)
    checks.that("a click on a bar filters", before == "" and "address" in page.inner_text("#chosen"), page.inner_text("#chosen"))
    page.go_back()
    checks.equal("the way back leads to what was shown before", page.inner_text("#chosen"), "")
    # The first place that is an interface, not the title of a subnet.
    for x, y in ((.15, .25), (.15, .35), (.3, .3), (.15, .8), (.8, .5)):
        page.locator("#interfaces-chart").scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        box = page.locator("#interfaces-chart").bounding_box()
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        page.wait_for_timeout(100)
        chosen = page.input_value("#interface")
        if chosen:
            break
    checks.that("a click on the map filters", chosen.startswith("eni-") and chosen in page.inner_text("#chosen"), chosen)
    check_numbers(checks, page, data, lambda n, i: i["id"] == chosen, "one interface, by the map")
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=20_000)
    page.click("#clear")
    check_numbers(checks, page, data, everything, "all again")

    page.keyboard.press("Tab")
    page.evaluate("document.activeElement.blur()")
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
    checks.equal("the keyboard reaches skip link and filters in order", reached[:6], ["skip", "vpc", "subnet", "interface", "address", "clear"])
    checks.that("each control has a name", page.evaluate("[...document.querySelectorAll('select,input')].every(e => e.labels.length === 1)"))
    checks.that("one heading a section", page.evaluate("[...document.querySelectorAll('main section[aria-labelledby]')].every(s => document.getElementById(s.getAttribute('aria-labelledby')).tagName === 'H2')"))
    context.close()
    checks.equal("nothing on the console", errors, [])
    checks.equal("nothing is loaded", requests, [])


def check_hostile(checks, browser, flowlog, folder):
    """A tag that would be markup: it is shown as it is, and does nothing."""
    rows = [f"11 123456789012 eni-0a {a} 10.0.0.9 40000 {port} 6 1 60 {1793491200 + n} {1793491230 + n} REJECT OK vpc-1 subnet-1 i-1 {HOSTILE}"
            for n, (a, port) in enumerate([("203.0.113.5", 22), ("203.0.113.6", 23), ("10.0.0.7", 443)])]
    (folder / "hostile.log").write_text("\n".join([HEADER, *rows]) + "\n")
    path, data = report(flowlog, folder, folder / "hostile.log")
    errors, requests = [], []
    context = browser.new_context(offline=True)
    page, _ = open_page(context, path, errors, requests)
    names = [row[1] for row in read_table(page, "interfaces")]
    checks.equal("a hostile tag is text", names, ["</script><img src=x onerror=alert(1)>"])
    checks.equal("no markup came of it", page.locator("img").count(), 0)
    checks.equal("and nothing ran", (errors, requests), ([], []))
    checks.equal("all three records are refused", cards(page)["refused records"], 3)
    answers = []
    page.on("response", lambda response: answers.append(response.url))
    # The policy holds even if markup got in: a script and an image that are put in do nothing.
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"https://127.0.0.1:9/x.png\" onerror=\"document.title = 1\">')")
    page.evaluate("const s = document.createElement('script'); s.textContent = 'document.title = 2'; document.body.append(s)")
    page.wait_for_timeout(200)
    checks.that("the policy stops scripts and loads", page.title() == "flowlog: the network's day", page.title())
    checks.equal("nothing was fetched", answers, [])
    context.close()


def contrast(*colors):
    """Between two colours, as WCAG 2.2 has it."""
    def luminance(color):
        parts = [int(color[n:n + 2], 16) for n in (1, 3, 5)] if color[0] == "#" else [int(n) for n in re.findall(r"\d+", color)[:3]]
        red, green, blue = (v / 12.92 if v <= .04045 else ((v + .055) / 1.055) ** 2.4 for v in (p / 255 for p in parts))
        return .2126 * red + .7152 * green + .0722 * blue

    low, high = sorted(map(luminance, colors))
    return (high + .05) / (low + .05)


def check_alike(checks, browser, flowlog, folder):
    """Two interfaces of one name, two addresses of which one begins with the other, and a moment of each kind."""
    ones, at = ["eni-0a1b2c3d4e5f60001", "eni-0a1b2c3d4e5f60002"], 1793491200
    rest = "vpc-1 subnet-1 i-1 web%20server"
    flow = lambda eni, ends, start, action: f"11 123456789012 {eni} {ends} 40000 443 6 1 60 {start} {start + 30} {action} OK {rest}"
    rows = [flow(eni, f"{a} 10.9.9.9", at + n, "ACCEPT") for eni in ones for n, a in enumerate(["10.0.0.1", "10.0.0.10"])]
    rows += [flow(ones[0], "10.0.0.1 10.9.9.9", at + 300, "REJECT"), flow(ones[0], "10.0.0.10 10.9.9.9", at + 300, "REJECT")]
    rows += [f"11 123456789012 {ones[0]} {'- ' * 7}{at + n} {at + n + 60} - {status} {rest}" for n, status in [(600, "NODATA"), (900, "SKIPDATA")]]
    # Until the end of the hour, with a moment in between of which nothing is known.
    rows += [flow(ones[0], "10.0.0.1 10.9.9.9", at + n, "ACCEPT") for n in (1500, 1800)]
    (folder / "alike.log").write_text("\n".join([HEADER, *rows]) + "\n")
    path, data = report(flowlog, folder, folder / "alike.log")
    errors = []
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme=scheme, offline=True)
        page, _ = open_page(context, path, errors, errors)
        border, inside, around = page.evaluate("""[['#address', 'borderTopColor'], ['#address', 'backgroundColor'], ['body', 'backgroundColor']]
            .map(([q, of]) => getComputedStyle(document.querySelector(q))[of])""")
        checks.that(f"{scheme}: where one can type is seen", min(contrast(border, inside), contrast(border, around)) >= 3, border)
        # What the strip draws: by fill, the heights of its parts.
        drawn = page.evaluate("""() => echarts.getInstanceByDom(document.getElementById('coverage-chart')).getZr().storage.getDisplayList(true)
            .filter(e => e.type === 'rect' && e.parent && e.parent.type === 'group' && e.shape.height > 0 && e.style.fill && e.style.fill[0] === '#')
            .map(e => [e.style.fill, e.shape.height])""")
        tone = lambda name: page.evaluate("name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()", name)
        names = ["flowing", "refusing", "soft", "alert"]
        colors = {name: tone(name) for name in names}
        heights = {name: [h for fill, h in drawn if fill == color] for name, color in colors.items()}
        checks.equal(f"{scheme}: each moment is drawn, those that are alike in one", [len(heights[n]) for n in names], [3, 1, 1, 2])
        pairs = [(name, "card") for name in names] + [("flowing", "refusing")]
        faint = [(a, b) for a, b in pairs if contrast(tone(a), tone(b)) < 3]
        checks.equal(f"{scheme}: traffic, refusals and nothing differ by contrast", faint, [])
        full = max(heights["flowing"])
        checks.that(f"{scheme}: silence and gaps by form", heights["soft"][0] < full / 2 and max(heights["alert"]) < full / 2, str(heights))
        checks.equal(f"{scheme}: the legend says so", page.evaluate("[...document.querySelectorAll('#coverage-legend > span')].map(e => [e.textContent, e.firstChild.className.trim()])"),
                     [["traffic", "mark"], ["refusals too", "mark"], ["silence", "mark silence"], ["skipped by AWS", "mark skipped"]])
        context.close()

    context = browser.new_context(viewport={"width": 1360, "height": 900}, offline=True)
    page, _ = open_page(context, path, errors, errors)
    checks.equal("interfaces of one name are told apart", [row[:2] for row in read_table(page, "coverage")], [[one, "web server"] for one in ones])
    axis = page.evaluate("echarts.getInstanceByDom(document.getElementById('coverage-chart')).getOption().yAxis[0].data")
    checks.equal("in the chart, too", axis, ["eni-0a1…0001 web server", "eni-0a1…0002 web server"])

    # The time chart: each point for as long as it is of, and nothing where nothing is on record.
    series, axes, places = page.evaluate("""() => {
        const chart = echarts.getInstanceByDom(document.getElementById('time-chart'));
        return [chart.getOption().series.map(s => [s.step, s.data]), [0, 1].map(n => chart.getModel().getComponent('xAxis', n).axis.scale.getExtent()),
            [0, 1].map(n => [page.from, page.to].map(at => chart.convertToPixel({ xAxisIndex: n }, at * 1000)))]; }""")
    ms = lambda n: (at + n) * 1000
    checks.equal("both axes of time are one", axes, [[data["from"] * 1000, data["to"] * 1000]] * 2)
    checks.equal("in the same place", places[0], places[1])
    for name, (step, drawn), values in (("bytes", series[0], [240, 0, 0, 0, 60, 60]), ("refusals", series[1], [0, 2, 0, 0, 0, 0])):
        times = [0, 300, 600, 900, 1500, 1800]
        expected = [[ms(n), value] for n, value in zip(times, values)]
        expected += [[ms(1200) - 1, values[3]], [ms(1200), None], [ms(2100) - 1, values[5]], [ms(2100), None]]
        checks.equal(f"{name}: steps, and no line where nothing is on record", (step, drawn), ("end", sorted(expected)))

    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    addresses = lambda: sorted(row[0] for row in read_table(page, "talkers"))
    sources = lambda: sorted(row[0] for row in read_table(page, "sources"))
    page.click("#talkers-table button:text-is('10.0.0.1')")
    said = "Talkers, sources, refused connections and alerts are those of the address 10.0.0.1; all other numbers are of all traffic."
    checks.equal("an address that is picked is meant as it stands", (addresses(), sources(), page.inner_text("#chosen")), (["10.0.0.1"], ["10.0.0.1"], said))
    checks.equal("and the totals are those of all", cards(page)["accepted bytes"], data["totals"]["accepted"]["bytes"])
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=20_000)
    checks.equal("after a reload, too", (addresses(), page.inner_text("#chosen")), (["10.0.0.1"], said))
    page.fill("#address", "10.0.0.1")
    page.fill("#address", "0.0.1")
    checks.equal("one that is typed is a part of it", (addresses(), sources()), (["10.0.0.1", "10.0.0.10"],) * 2)
    checks.that("and is said to be", "addresses that contain 0.0.1;" in page.inner_text("#chosen"), page.inner_text("#chosen"))
    page.select_option("#interface", ones[1])
    checks.that("beside a place, both are said", page.inner_text("#chosen").startswith(f"Showing interface {ones[1]}: 1 of 2 interfaces. Talkers")
                and page.inner_text("#chosen").endswith("of all traffic there."), page.inner_text("#chosen"))
    context.close()
    checks.equal("nothing on the console, nothing loaded", errors, [])


def check_large(checks, browser, flowlog, folder):
    """A day of a million flows."""
    subprocess.run([flowlog, "generate", "--minutes", "1440", "--rate", "700", "--attack", "port-scan", "-o", folder / "large"], check=True, capture_output=True, timeout=900)
    path, data = report(flowlog, folder, folder / "large" / "AWSLogs", by="backfill")
    size = path.stat().st_size
    records = sum(data["totals"][k]["records"] for k in ("accepted", "rejected", "other"))
    checks.that("a day of a million flows is below 5 MB", records >= 1_000_000 and size < 5_000_000, f"{records} flows, {size} bytes")
    took = []
    for _ in range(7):
        context = browser.new_context(offline=True)
        took.append(open_page(context, path, [], [])[1])
        context.close()
    # Speed is a figure, not a check: the machine may be busy.
    took.sort()
    print(f"{records} flows: {size / 1e6:.2f} MB, ready after {took[3]:.2f} s ({took[0]:.2f} to {took[-1]:.2f}, seven loads)", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flowlog", required=True, type=lambda p: str(pathlib.Path(p).resolve()))
    parser.add_argument("--chromium", default=next(filter(None, map(shutil.which, BROWSERS)), None))
    parser.add_argument("--shots", type=pathlib.Path)
    parser.add_argument("--large", action="store_true", help="also a day of a million flows: takes a minute")
    args = parser.parse_args()
    checks = Checks()
    from playwright.sync_api import sync_playwright

    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = pathlib.Path(name)
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        day = folder / "day"
        attacks = [word for attack in ("port-scan", "reject-burst", "misconfiguration", "data-gap") for word in ("--attack", attack)]
        subprocess.run([args.flowlog, "generate", "--seed", "7", "--minutes", "360", *attacks, "-o", day], check=True, capture_output=True, timeout=300)
        path, data = report(args.flowlog, folder, day / "AWSLogs")
        check_day(checks, browser, args.flowlog, path, data, args.shots)
        (folder / "hostile").mkdir()
        check_hostile(checks, browser, args.flowlog, folder / "hostile")
        (folder / "alike").mkdir()
        check_alike(checks, browser, args.flowlog, folder / "alike")
        if args.large:
            (folder / "million").mkdir()
            check_large(checks, browser, args.flowlog, folder / "million")
        browser.close()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
