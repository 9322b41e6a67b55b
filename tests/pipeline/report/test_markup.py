from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.markup import tag


@given(st.text(), st.text())
def test_what_is_written_reads_back_the_same(text, value):
    class Reader(HTMLParser):
        def handle_starttag(self, name, attributes):
            seen.append((name, attributes))

        def handle_data(self, data):
            words.append(data)

    seen, words = [], []
    reader = Reader()
    reader.feed(tag("b", text, title_=value))
    reader.close()
    assert seen == [("b", [("title", value)])]
    assert "".join(words) == text
