"""The README's pictures, made again from a running demonstration:

./run demo                                                         # and in another terminal
.venv/bin/python -m tests.screenshots http://127.0.0.1:8000 var/accounts.json docs/screenshots
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM, FLAGS

SIZE = {"width": 1280, "height": 990}
COLOURS = 128  # enough for flat pages, and a third of the bytes


def take(address, accounts, folder):
    passwords = {account["user"]: account["password"] for account in json.loads(Path(accounts).read_text())}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def signed_in(username):
            page = browser.new_context(base_url=address, viewport=SIZE).new_page()
            page.goto("/")
            page.fill("[name=username]", username)
            page.fill("[name=password]", passwords[username])
            page.click("main button[type=submit]")
            page.get_by_role("heading", name="Good day").wait_for()
            return page

        page = signed_in("monitor")
        page.goto("/visits/")
        keep(page, folder / "grid.png")
        page = signed_in("coordinator-01")
        page.goto("/visits/")
        page.locator("tr", has=page.locator(".status-overdue")).locator("th a").first.click()
        page.locator(".uplot").wait_for()
        keep(page, folder / "patient.png")
        browser.close()


def keep(page, path):
    """Write what is in the window, in few colours."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    take(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
