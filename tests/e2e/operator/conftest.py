"""The fixture of the suites of the command line."""

import pytest
from story import Story


@pytest.fixture
def story(book):
    """Three segments of 400 rows, 40 of each deleted; nothing compacts by itself."""
    story = Story(book)
    yield story
    story.client.close()
