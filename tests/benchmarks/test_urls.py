from benchmarks import urls
from stages.urls import BlockList, UrlTables, UrlWords, compile_block_list


def test_every_address_is_judged_and_the_dropped_are_counted(monkeypatch):
    tables = UrlTables(block_list=BlockList(compile_block_list([b"bad.example"])), words=UrlWords(strict=("smut",)))
    monkeypatch.setattr(urls, "_tables", lambda: (tables, 0.5))
    addresses = ["http://bad.example/", "http://a.example/smut", "http://a.example/", "HTTP://B.example"]
    figures = urls.measure(addresses, repeat=200)
    assert (figures["urls"], figures["judged"], figures["dropped"]) == (4, 800, 2)
    assert figures["urls_per_second"] > 0 < figures["all_us"]


def test_addresses_are_those_of_the_pages(sample):
    found = urls.read_urls(str(sample / "sample-00000.warc.gz"))
    assert len(found) > 50
    assert all(url.startswith("http") for url in found)
