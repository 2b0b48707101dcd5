#!/usr/bin/env python3
"""The README's pictures, made anew: the page of a generated day, and the e-mail about a misconfiguration as it is sent.

    pictures.py --flowlog PATH --chromium PATH

The e-mail is the snapshot that the tests keep (crates/flowlog-core/src/alert/snapshots). Chromium writes WebP, so nothing else is needed.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import subprocess
import tempfile

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "crates/flowlog-core/src/alert/snapshots/flowlog_core__alert__snapshots__the_email_about_a_misconfiguration.snap"
ASSETS = [ROOT / "crates/flowlog-cli/assets" / name for name in ("page.html", "page.css", "page.js", "charts.js", "echarts/echarts.min.js")]
# What each picture is made from, beside this file. `cargo test --bin flowlog` holds the hashes in docs/pictures.json against it.
MADE_FROM = {"report-page.webp": ASSETS, "alert-email.webp": [SNAPSHOT]}
MAIL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 1.5rem; background: #eef1f4; font: 15px/1.45 system-ui, sans-serif; color: #17212b; }
article { background: #fff; border: 1px solid #d5dbe1; border-radius: .6rem; max-width: 62rem; padding: 1.2rem 1.5rem; }
h1 { font-size: 1.15rem; margin: 0 0 .3rem; } p { color: #52606d; margin: 0 0 .8rem; border-bottom: 1px solid #d5dbe1; padding-bottom: .8rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, Menlo, monospace; margin: 0; }
</style><article><h1></h1><p>AWS Notifications &lt;no-reply@sns.amazonaws.com&gt; · to you@example.com</p><pre></pre></article>"""


def webp(browser, png, width):
    """A PNG as WebP of this width."""
    page = browser.new_page()
    text = page.evaluate(
        """async ([png, width]) => {
            const image = new Image();
            image.src = 'data:image/png;base64,' + png;
            await image.decode();
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [width, Math.round(image.height * width / image.width)];
            const context = canvas.getContext('2d');
            context.imageSmoothingQuality = 'high';
            context.drawImage(image, 0, 0, canvas.width, canvas.height);
            return canvas.toDataURL('image/webp', .86).split(',')[1];
        }""", [base64.b64encode(png).decode(), width])
    page.close()
    return base64.b64decode(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flowlog", required=True, type=lambda p: str(pathlib.Path(p).resolve()))
    parser.add_argument("--chromium", required=True)
    args = parser.parse_args()

    def flowlog(*words):
        subprocess.run([args.flowlog, *words], check=True, capture_output=True, timeout=900)

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = pathlib.Path(name)
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        attacks = [word for attack in ("port-scan", "reject-burst", "misconfiguration", "data-gap") for word in ("--attack", attack)]
        flowlog("generate", "--seed", "7", "--minutes", "720", *attacks, "-o", folder / "day")
        flowlog("local", folder / "day" / "AWSLogs", "--store", folder / "s.db")
        flowlog("report", "--store", folder / "s.db", "-o", folder / "day.html")
        page = browser.new_page(viewport={"width": 1280, "height": 1560}, device_scale_factor=1.5)
        page.goto((folder / "day.html").as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        (ROOT / "docs/report-page.webp").write_bytes(webp(browser, page.screenshot(), 1120))

        text = SNAPSHOT.read_text().split("---\n", 2)[2].strip("\n")
        subject = text.split("\n", 1)[0]
        page = browser.new_page(viewport={"width": 1060, "height": 600}, device_scale_factor=1.5)
        page.set_content(MAIL)
        page.evaluate("([subject, text]) => { document.querySelector('h1').textContent = subject; document.querySelector('pre').textContent = text; }", [subject, text])
        shot = page.screenshot(full_page=True)
        (ROOT / "docs/alert-email.webp").write_bytes(webp(browser, shot, 1060))
        browser.close()
    record()


def record():
    """What the pictures are, and what they were made from: SHA-256."""
    def of(*paths):
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()

    pictures = {name: {"is": of(ROOT / "docs" / name), "from": of(pathlib.Path(__file__), *sources)} for name, sources in MADE_FROM.items()}
    (ROOT / "docs/pictures.json").write_text(json.dumps(pictures, indent=2) + "\n")


if __name__ == "__main__":
    main()
