"""Composes the sample crawl: texts, the pages around them, and the WARC files that hold the captures."""
