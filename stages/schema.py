"""Boundary types of the curation arm: every table that crosses a stage or reaches disk, declared once.

Units are in the field metadata (`unit`), a one-line meaning in `doc`. `check` is called at every write, so a
table whose columns differ from its declaration never reaches disk.
"""

from __future__ import annotations

import pyarrow as pa

VERDICT = pa.struct(
    [
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("detail", pa.string()),
    ]
)
"""What a filter says of a row; null means kept. `detail` names what matched where a number cannot."""


def _field(name: str, kind: pa.DataType, doc: str, *, unit: str = "", nullable: bool = False) -> pa.Field:
    metadata = {"doc": doc} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


_ID = _field("id", pa.string(), "BLAKE2b-128 of (WARC-Record-ID, date, target URI, payload digest), as 32 hex digits")
_URL = _field("url", pa.string(), "target URI as written, less enclosing <>; empty where there is none")
_SOURCE = [
    _field("warc_path", pa.string(), "input file; ends in the file's name"),
    _field("warc_offset", pa.int64(), "first byte of the record's member (or of the record, in a stream)", unit="byte"),
    _field("warc_length", pa.int64(), "length from that offset", unit="byte"),
]
_CAPTURE = [
    _field("crawl", pa.string(), "dump's name where known, else isPartOf or the file's name"),
    _field("fetch_time", pa.timestamp("us", "UTC"), "WARC-Date", nullable=True),
]
_LANGUAGE = _field("language", pa.string(), "language of the extracted text, ISO 639-1")
_LANGUAGE_SCORE = _field("language_score", pa.float32(), "probability of `language`", unit="1")

_DECIDED_BY = _field("language_decided_by", pa.string(), "opinion that gave `language`: model or words", nullable=True)

_OPT_OUT = _field(
    "opt_out", pa.list_(pa.string()), "opt-out signals of header and meta tags (see stages/opt_out.py), in order"
)

_SHARE_OF_CHARS = "share of characters in "
SIGNALS: list[pa.Field] = [
    _field("n_chars", pa.int64(), "characters of the text", unit="character", nullable=True),
    _field("n_words", pa.int64(), "whitespace-separated words", unit="word", nullable=True),
    _field("n_lines", pa.int64(), "non-empty lines", unit="line", nullable=True),
    _field("mean_word_length", pa.float64(), "mean length of words", unit="character", nullable=True),
    _field("hash_word_ratio", pa.float64(), "'#' signs per word", unit="1", nullable=True),
    _field("ellipsis_word_ratio", pa.float64(), "ellipses ('…' or '...') per word", unit="1", nullable=True),
    _field("bullet_line_share", pa.float64(), "share of lines starting with a bullet", unit="1", nullable=True),
    _field("ellipsis_line_share", pa.float64(), "share of lines ending in an ellipsis", unit="1", nullable=True),
    _field("punct_line_share", pa.float64(), "share of lines ending in a sentence mark", unit="1", nullable=True),
    _field("short_line_share", pa.float64(), "share of lines of at most 30 characters", unit="1", nullable=True),
    _field("newline_word_ratio", pa.float64(), "newlines per word", unit="1", nullable=True),
    _field("alpha_word_share", pa.float64(), "share of words holding a letter", unit="1", nullable=True),
    _field("n_stop_words", pa.int64(), "distinct stop words of the language present", unit="word", nullable=True),
    _field("dup_line_share", pa.float64(), "share of lines that repeat an earlier one", unit="1", nullable=True),
    _field("dup_line_char_share", pa.float64(), _SHARE_OF_CHARS + "repeated lines", unit="1", nullable=True),
    _field("dup_line_text_share", pa.float64(), "the same, newlines not counted", unit="1", nullable=True),
    _field("dup_par_share", pa.float64(), "share of paragraphs that repeat an earlier one", unit="1", nullable=True),
    _field("dup_par_char_share", pa.float64(), _SHARE_OF_CHARS + "repeated paragraphs", unit="1", nullable=True),
    *[
        _field(
            f"top_{n}gram_char_share",
            pa.float64(),
            _SHARE_OF_CHARS + f"the commonest {n}-gram",
            unit="1",
            nullable=True,
        )
        for n in range(2, 5)
    ],
    *[
        _field(
            f"dup_{n}gram_char_share", pa.float64(), _SHARE_OF_CHARS + f"repeated {n}-grams", unit="1", nullable=True
        )
        for n in range(5, 11)
    ],
]
"""Text statistics, computed once by `stages.signals` on the extracted text, before corrections; null where a page was
dropped before its text was known."""

SIGNAL_NAMES = [field.name for field in SIGNALS]

RECORD = pa.schema(
    [
        _ID,
        _URL,
        *_SOURCE,
        *_CAPTURE,
        _field("record_type", pa.string(), "WARC-Type: response, resource or conversion"),
        _field("truncated", pa.string(), "WARC-Truncated, or why the reader cut the block", nullable=True),
        _field("http_status", pa.int32(), "status of the response; null where there is none", nullable=True),
        _field("content_type", pa.string(), "media type, lower case, without parameters; empty where there is none"),
        _field("charset", pa.string(), "charset parameter of the header; empty where there is none"),
        _field("opt_out", pa.list_(pa.string()), "opt-out signals of the header alone, in order"),
        _field("payload", pa.large_binary(), "body with transfer and content codings undone", unit="byte"),
        _field("payload_error", pa.string(), "why the payload is not whole (bomb, unknown coding, …)", nullable=True),
    ]
)
"""What the reader yields, one row per response, resource or conversion record."""

DOCUMENT = pa.schema(
    [
        _ID,
        _field("text", pa.string(), "corrected main text, without the passages that stand earlier too"),
        _URL,
        _LANGUAGE,
        _LANGUAGE_SCORE,
        _DECIDED_BY,
        _OPT_OUT,
        *_CAPTURE,
        *_SOURCE,
        _field("cluster_size", pa.int64(), "near-duplicates that this document stands for, itself included"),
        *SIGNALS,
    ]
)
"""What is published."""

REJECT = pa.schema(
    [
        _ID,
        _URL,
        *_SOURCE,
        *_CAPTURE,
        # A dictionary, so that readers which infer the column from the folder name `stage=…` as one can merge the two.
        _field("stage", pa.dictionary(pa.int32(), pa.string()), "step that dropped the page"),
        _field("rule", pa.string(), "rule of that step"),
        _field("value", pa.float64(), "value measured", nullable=True),
        _field("threshold", pa.float64(), "limit it was held against", nullable=True),
        _field("detail", pa.string(), "what matched, where a number cannot say it", nullable=True),
        _field("text", pa.string(), "first 2,000 characters of the text known by then"),
        _LANGUAGE.with_nullable(True),
        _LANGUAGE_SCORE.with_nullable(True),
        _DECIDED_BY,
        _OPT_OUT,
        *SIGNALS,
    ]
)
"""What was dropped, and by what."""

REJECT_TEXT_CHARS = 2000

_EXTRACTION = [
    _ID,
    _URL,
    *_SOURCE,
    *_CAPTURE,
    _field("text", pa.string(), "extracted main text, as the extractor gave it"),
    _LANGUAGE.with_nullable(True),
    _LANGUAGE_SCORE.with_nullable(True),
    _DECIDED_BY,
    _OPT_OUT,
]
_DECISION = [
    _field("verdict", VERDICT, "rule that dropped the page, null where none did", nullable=True),
    _field("verdict_stage", pa.string(), "step of that rule", nullable=True),
]

PAGE = pa.schema([*_EXTRACTION, *_DECISION])
"""A page that reached extraction, before it is measured and decided."""

EXTRACTED = pa.schema(
    [
        *_EXTRACTION,
        *SIGNALS,
        *_DECISION,
        _field("corrected", pa.string(), "text after corrections; null where dropped", nullable=True),
    ]
)
"""In `work/`: every page that reached extraction, kept or not."""

CLUSTER = pa.schema(
    [
        _ID,
        _field("cluster_id", pa.string(), "id of the cluster: its representative's"),
        _field("representative_id", pa.string(), "document of the cluster that is published"),
        _field("similarity", pa.float64(), "best verified Jaccard similarity with another member", unit="1"),
        _field("cluster_size", pa.int64(), "documents in the cluster"),
    ]
)

_RANK = _field("rank", pa.int64(), "place of the document in the order of stages/dedup_order.py")
_POSITION = _field("position", pa.int64(), "first word of the window, counted from 0", unit="word")

WINDOW = pa.schema([_field("hash", pa.uint64(), "hash of the window's words"), _RANK, _POSITION])
"""In `work/`: a run of k words that may stand elsewhere too."""

REPEAT = pa.schema(
    [
        *WINDOW,
        _field("first_rank", pa.int64(), "document that holds the earliest equal window"),
        _field("first_position", pa.int64(), "first word of that window", unit="word"),
    ]
)
"""In `work/`: a window that stands earlier too, in the order of (rank, position)."""

SPAN = pa.schema(
    [
        _ID,
        _field("start", pa.int64(), "first byte removed, in the corrected text before cutting", unit="byte"),
        _field("end", pa.int64(), "byte after the last", unit="byte"),
        _field("first_id", pa.string(), "document that holds the earliest occurrence"),
        _field("first_start", pa.int64(), "first byte of it there, in the text before cutting", unit="byte"),
    ]
)
"""A removed passage; where its source changes half-way there are two rows, of which one ends where the next begins."""

TEXT_SAMPLE_CHARS = 500
"""Characters of a text that `TOP_CLUSTER` and `TOP_PASSAGE` show."""


def _names(name: str, doc: str) -> pa.Field:
    """Some names, each with the number of documents that it stands for."""
    pair = [pa.field(name, pa.string(), nullable=False), pa.field("n_documents", pa.int64(), nullable=False)]
    return _field(f"{name}s", pa.list_(pa.struct(pair)), doc)


_LANGUAGES = _names("language", "the commonest languages of these documents, five at most")
_N_DOMAINS = _field("n_domains", pa.int64(), "different domains of these documents", unit="domain")
_DOMAINS = _names("domain", "the commonest domains of these documents, five at most; empty: without an address")
_N_DOCUMENTS = "documents of this run "

TOP_CLUSTER = pa.schema(
    [
        _field("representative_id", pa.string(), "document that is kept for the cluster"),
        _field("n_documents", pa.int64(), _N_DOCUMENTS + "in the cluster", unit="document"),
        _LANGUAGES,
        _N_DOMAINS,
        _DOMAINS,
        _field("url", pa.string(), "address of the representative; null where it is in an index", nullable=True),
        _field("text", pa.string(), "first 500 characters of its text before cutting; null likewise", nullable=True),
    ]
)
"""The clusters of most documents."""

TOP_PASSAGE = pa.schema(
    [
        _field("first_id", pa.string(), "document that holds the first copy"),
        _field("first_start", pa.int64(), "first byte of it there, in the text before cutting", unit="byte"),
        _field("n_cuts", pa.int64(), "spans that name this place", unit="span"),
        _field("length", pa.int64(), "the commonest length of these spans, of equals the least", unit="byte"),
        _field("n_bytes", pa.int64(), "length of all of them together", unit="byte"),
        _field("n_documents", pa.int64(), _N_DOCUMENTS + "that hold these spans", unit="document"),
        _LANGUAGES,
        _N_DOMAINS,
        _DOMAINS,
        _field("url", pa.string(), "address of the document that holds the first copy"),
        _field("text", pa.string(), "first 500 characters of the commonest length, as in the first copy"),
    ]
)
"""The passages that were cut most often. What makes a passage is the place where its first copy begins."""

BRIDGED = pa.schema(
    [
        _ID,
        _field("indexed_id", pa.string(), "document of an index that a member of its cluster is like"),
    ]
)
"""A document kept beside an index, though one run over everything would have joined the two by way of a third."""

DAMAGE = pa.schema(
    [
        _SOURCE[0],
        _field("start", pa.int64(), "first byte that could not be read", unit="byte"),
        _field("end", pa.int64(), "byte after the last", unit="byte"),
        _field("reason", pa.string(), "what was wrong"),
        _URL.with_nullable(True),
    ]
)


def check(table: pa.Table | pa.RecordBatch, schema: pa.Schema) -> None:
    """Raise ValueError unless `table` has exactly the columns and types of `schema`, and no null where none may be."""
    if table.schema.names != schema.names:
        missing = [name for name in schema.names if name not in table.schema.names]
        extra = [name for name in table.schema.names if name not in schema.names]
        raise ValueError(f"columns differ from the declared schema: missing {missing}, not declared {extra}")
    for field, column in zip(schema, table.columns, strict=True):
        if column.type != field.type:
            raise ValueError(f"column {field.name} is {column.type}, declared {field.type}")
        if not field.nullable and column.null_count:
            raise ValueError(f"column {field.name} holds {column.null_count} nulls, declared without")
