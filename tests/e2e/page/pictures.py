"""Screenshots for the documents, if they are asked for (run.py --pictures)."""

import os
from pathlib import Path

FOLDER = os.environ.get("E2E_PICTURES")


def picture(tab, name, part=None):
    """Takes what is seen of a page, or of a part of it."""
    if FOLDER:
        tab.evaluate("document.activeElement?.blur?.()")
        shown = tab.locator(part) if part else tab
        shown.screenshot(path=Path(FOLDER) / f"page-{name}.png", animations="disabled")
