"""Text to token ids with any Hugging Face tokenizer that has an end-of-document token; and a small one to train.

Special strings inside a document (`<|endoftext|>`, `>>QUESTION<<`) are ordinary text. Ids are those of Hugging Face's
library, which is imported when a tokenizer is opened; where a verdict beside the tokenizer.json says that the fast
engine gives the same ones (`mixtures.fast_bpe.equality`), that one serves. Reading token files needs neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.errors import TokenizerError
from mixtures.fast_bpe.tokenizer_layout import Coverage, coverage_of, layout_of
from mixtures.fast_bpe.verdict import Verdict, read_verdict

if TYPE_CHECKING:
    from mixtures.fast_bpe.byte_level import ByteLevelBpe

Ids = npt.NDArray[np.unsignedinteger[Any]]

END_OF_DOCUMENT: Final = "<|endoftext|>"
FALCON_SPECIALS: Final = (
    *(f">>{name}<<" for name in ("TITLE", "ABSTRACT", "INTRODUCTION", "SUMMARY", "COMMENT", "ANSWER", "QUESTION")),
    *(f">>{name}<<" for name in ("DOMAIN", "PREFIX", "SUFFIX", "MIDDLE")),
    END_OF_DOCUMENT,
)
"""Special tokens of Falcon's tokenizer, ids 0 to 11."""


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """An open tokenizer; see `open_tokenizer`."""

    content: str
    """The tokenizer.json that it was made from."""
    digest: str
    vocab_size: int
    """Highest id plus one."""
    eod_id: int
    engine: Any
    """The library's own object, set so that special strings are text."""
    fast: ByteLevelBpe | None = None
    """The fast engine, where it is proven to give the same ids."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the ids on disk: uint16 where the vocabulary fits, else uint32."""
        return np.dtype("<u2" if self.vocab_size <= 2**16 else "<u4")

    @cached_property
    def coverage(self) -> Coverage | None:
        """Which bytes the tokens hold; None for a tokenizer that is no byte-level BPE or changes the text first."""
        return coverage_of(json.loads(self.content))

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of each text, without an end-of-document token."""
        if self.fast is not None:
            from mixtures.fast_bpe.byte_level import rows

            return [row for ids, ends in self.fast.encode(texts) for row in rows(ids.astype(self.dtype), ends)]
        encodings = self.engine.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, self.dtype) for encoding in encodings]

    def tokens_within(self, text: str, n_bytes: int, ids: Ids) -> int:
        """How many of a text's first tokens lie wholly within its first `n_bytes` bytes of UTF-8.

        `ids` are those of the text. Where `coverage` is None, a token that holds a part of a character counts as if it
        held all of it.
        """
        leading = text[:n_bytes].encode()[:n_bytes]
        if self.coverage is not None:
            held = np.count_nonzero(self.coverage.has_token[np.frombuffer(leading, np.uint8)])
            return int(np.searchsorted(np.cumsum(self.coverage.token_bytes[ids]), held, side="right"))
        n_chars = len(leading.decode(errors="ignore"))
        beyond = [end > n_chars for _, end in self._untrimmed.encode(text, add_special_tokens=False).offsets]
        return beyond.index(True) if True in beyond else len(beyond)

    @cached_property
    def _untrimmed(self) -> Any:
        """The library's object without the step that takes white space off the offsets of tokens."""
        return _engine(json.dumps(json.loads(self.content) | {"post_processor": None}))


def open_tokenizer(name_or_file: str | Path) -> Tokenizer:
    """Open a tokenizer.json, or a tokenizer of the Hugging Face Hub by its name. Raises TokenizerError.

    It has the fast engine where a verdict that allows it lies beside the file; `fast_bpe.equality.settle` makes one.
    """
    path = Path(name_or_file)
    if path.is_dir():
        path = path / "tokenizer.json"
    if path.exists():
        tokenizer = _from_content(_read(path), str(path))
        verdict = read_verdict(path, tokenizer.digest)
        return tokenizer if verdict is None else with_verdict(tokenizer, verdict)
    if path.suffix == ".json" or path.is_absolute():
        raise TokenizerError(f"{path}: no such tokenizer file; give the path of a tokenizer.json")
    return _from_content(_fetch(str(name_or_file)), str(name_or_file))


def with_verdict(tokenizer: Tokenizer, verdict: Verdict) -> Tokenizer:
    """The tokenizer, with the fast engine if a verdict on it says so."""
    if not verdict.equal:
        return tokenizer
    from mixtures.fast_bpe.byte_level import ByteLevelBpe, model_of
    from mixtures.fast_bpe.code_points import CodePoints

    content = json.loads(tokenizer.content)
    points = CodePoints.of_ranges(verdict.ranges, verdict.numeric_bytes)
    return replace(tokenizer, fast=ByteLevelBpe(model=model_of(content, layout_of(content), points)))


def digest(content: str) -> str:
    """BLAKE2b-128, as hex digits, of what decides the ids in a tokenizer.json, however that is laid out."""
    parsed = json.loads(content)
    decisive = {key: parsed.get(key) for key in ("normalizer", "pre_tokenizer", "model", "added_tokens")}
    if merges := decisive["model"].get("merges"):  # written as "a b" by older versions, as ["a", "b"] by newer ones
        decisive["model"]["merges"] = [m.split(" ") if isinstance(m, str) else m for m in merges]
    return hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode(), digest_size=16).hexdigest()


def check_same(path: Path, expected: str) -> None:
    """Refuse a tokenizer.json whose digest is not `expected`, that of the tokens beside it. Raises TokenizerError."""
    try:
        found = digest(_read(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(f"{path}: not a tokenizer ({error}); restore the one the tokens were made with") from error
    if found != expected:
        raise TokenizerError(f"{path}: not the tokenizer that the tokens were made with; restore it, or tokenise again")


def train_bpe(texts: Iterable[str], vocab_size: int) -> str:
    """Train a byte-level BPE with Falcon's pre-tokenisers and special tokens; returns a tokenizer.json.

    The same texts in the same order give the same bytes. Raises TokenizerError for a vocabulary too small.
    """
    from tokenizers import Tokenizer as Engine
    from tokenizers import decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    least = len(alphabet) + len(FALCON_SPECIALS)
    if vocab_size < least:
        raise TokenizerError(f"a vocabulary of {vocab_size} is too small; give at least {least} (bytes and specials)")
    engine = Engine(models.BPE())
    engine.pre_tokenizer = _falcon_pre_tokenizer()
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(FALCON_SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    engine.train_from_iterator(texts, trainer)
    return str(engine.to_str(pretty=True))


def _falcon_pre_tokenizer() -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation(behavior="contiguous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated"),
        ]
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path}: cannot be read ({error}); give the path of a tokenizer.json") from error


def _fetch(name: str) -> str:
    from tokenizers import Tokenizer as Engine

    try:
        return str(Engine.from_pretrained(name).to_str())
    except Exception as error:  # the library raises bare Exception for an unknown name and for no network alike
        raise TokenizerError(
            f"{name}: neither a file nor to be had from the Hugging Face Hub ({' '.join(str(error).split())}); "
            "download its tokenizer.json and give that path"
        ) from error


def _from_content(content: str, name: str) -> Tokenizer:
    try:
        engine = _engine(content)
        content_digest = digest(content)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{name}: not a Hugging Face tokenizer ({error}); give a tokenizer.json") from error
    if dropout := json.loads(content)["model"].get("dropout"):
        raise TokenizerError(
            f"{name}: draws its ids by chance (dropout {dropout}), so that no text would have the same ones twice; "
            "set the model's dropout to null"
        )
    eod_id = engine.token_to_id(END_OF_DOCUMENT)
    if eod_id is None:
        raise TokenizerError(f"{name}: has no {END_OF_DOCUMENT} token; add it to the tokenizer's special tokens")
    _check_specials_are_text(engine, name, eod_id)
    vocab_size = max(engine.get_vocab(with_added_tokens=True).values()) + 1
    return Tokenizer(content=content, digest=content_digest, vocab_size=vocab_size, eod_id=eod_id, engine=engine)


def _engine(content: str) -> Any:
    from tokenizers import Tokenizer as Engine

    engine = Engine.from_str(content)
    engine.no_truncation()
    engine.no_padding()
    engine.encode_special_tokens = True  # the library's name for: special strings are text
    return engine


def _check_specials_are_text(engine: Any, name: str, eod_id: int) -> None:
    """Special strings that are pieces of the model, or not declared special, would still give their ids: refuse."""
    special = {
        token_id: token.content for token_id, token in engine.get_added_tokens_decoder().items() if token.special
    }
    for token_id, content in (special | {eod_id: END_OF_DOCUMENT}).items():
        if token_id in engine.encode(content, add_special_tokens=False).ids:
            raise TokenizerError(
                f"{name}: encodes the text {content!r} as a special token, so that a document could forge it; "
                "use a tokenizer that declares it special and has no such piece in its model"
            )
