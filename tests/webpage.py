"""Parse and check HTML pages without a browser."""

from html.parser import HTMLParser

#: Elements without content, which need no end tag.
VOID = {"meta", "link", "img", "br", "rect", "circle", "path", "polyline"}


class Checked(HTMLParser):
    """A parsed page: its tags and its text. Elements must be nested properly."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
