"""A small corpus with something to learn in it, its token files, and recipes that train on it in seconds."""

import json
import random
from pathlib import Path

from mixtures.shards import finish, install_tokenizer, plan_tokenize
from mixtures.tokenization import tokenize_shard
from mixtures.tokenizer import open_tokenizer, train_bpe

FOLDERS = ("RefinedWeb-English", "RefinedWeb-Europe/lang=de", "technical", "code", "conversational")

MIXTURE = """
name: tiny
seed: 5
held_out: 1/8
components:
  - {name: English, kind: english_web, tokens: [RefinedWeb-English], max_epochs: 100}
  - {name: Europe, kind: european_web, tokens: [RefinedWeb-Europe/lang=*], max_epochs: 100}
  - {name: technical, kind: technical, tokens: [technical], max_epochs: 100}
  - {name: code, kind: code, tokens: [code], max_epochs: 100}
  - {name: conversational, kind: conversational, tokens: [conversational], max_epochs: 100}
stages:
  - {name: one, context: 16, tokens: 2_000, out_of: 4, weights: {English: 2, Europe: 1, technical: 1}}
  - {name: two, context: 32, tokens: 1_300, out_of: 4, weights: {English: 2, code: 1, conversational: 1}}
  - {name: three, context: 64, tokens: 1_300, out_of: 2, weights: {English: 1, Europe: 1}}
  - {name: four, context: 64, tokens: 1_300, out_of: 2, weights: {technical: 1, code: 1}}
"""

RECIPE = """
name: tiny
mixture: mixture.yaml
seed: 7
threads: 1
micro_batch: 8
held_out_sequences: 4
model: {vocab: 320, hidden: 32, layers: 2, heads: 4, kv_heads: 2, mlp: 64, norm_eps: 1e-5, init_std: 0.05}
optim: {beta1: 0.9, beta2: 0.95, weight_decay: 0.1, clip_norm: 1.0, z_loss: 1e-4}
stages:
  - name: one
    rope_theta: 10_000
    tied: true
    adam_eps: 1e-8
    rate: {warmup_tokens: 300, peak: 1e-2, floor: 3e-3}
    batch: [{from_tokens: 0, sequences: 9}, {from_tokens: 500, sequences: 18}, {from_tokens: 1_200, sequences: 36}]
  - name: two
    rope_theta: 50_000
    tied: true
    adam_eps: 1e-8
    rate: {peak: 3e-3, floor: 3e-3}
    batch: [{from_tokens: 0, sequences: 12}]
  - name: three
    rope_theta: 50_000
    tied: true
    adam_eps: 1e-8
    rate: {peak: 3e-3, floor: 3e-3}
    batch: [{from_tokens: 0, sequences: 5}]
  - name: four
    rope_theta: 5_000
    tied: false
    adam_eps: 1e-7
    rate: {peak: 3e-3, floor: 3e-3}
    batch: [{from_tokens: 0, sequences: 5}]
checkpoint: {every_steps: 4, keep_last: 2, verify_batches: 2}
"""
"""22 steps: batch ramp, an uneven last step in every stage, several micro-batches, every kind of transition."""


def documents(folder: str, count: int) -> list[str]:
    """Sentences of a grammar that each folder has its own words for."""
    chance = random.Random(folder)
    words = ["".join(chance.choices("abdeiklmnorstu", k=chance.randint(2, 5))) for _ in range(24)]
    return [" ".join(_sentence(words, chance) for _ in range(12)) for _ in range(count)]


def write_tokens(root: Path, *, documents_per_folder: int = 60, vocab: int = 320) -> Path:
    """Documents, a tokenizer trained on them and token files, all below `root`; returns the token root."""
    shards = {folder: root / "documents" / folder / "part-00000.jsonl" for folder in FOLDERS}
    texts = {folder: documents(folder, documents_per_folder) for folder in FOLDERS}
    for folder, shard in shards.items():
        shard.parent.mkdir(parents=True)
        shard.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[folder]))
    learnt = root / "tokenizer.json"
    learnt.write_text(train_bpe([text for folder in FOLDERS for text in texts[folder]], vocab))

    tokens, tokenizer = root / "tokens", open_tokenizer(learnt)
    install_tokenizer(tokenizer, tokens)
    folders = [root / "documents" / name for name in dict.fromkeys(folder.split("/")[0] for folder in FOLDERS)]
    jobs = plan_tokenize(folders, tokens, tokenizer)
    for job in jobs:
        tokenize_shard(job)
    finish(jobs, tokens)
    return tokens


def write_recipe(folder: Path, *changes: tuple[str, str]) -> Path:
    """The tiny recipe and its mixture in `folder`, after replacing text in them; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    mixture, recipe = MIXTURE, RECIPE
    for old, new in changes:
        assert old in mixture or old in recipe
        mixture, recipe = mixture.replace(old, new), recipe.replace(old, new)
    (folder / "mixture.yaml").write_text(mixture)
    (folder / "recipe.yaml").write_text(recipe)
    return folder / "recipe.yaml"


def _sentence(words: list[str], chance: random.Random) -> str:
    """Each word is followed by one of three."""
    index = chance.randrange(len(words))
    picked = []
    for _ in range(chance.randint(4, 9)):
        picked.append(words[index])
        index = (index * 7 + chance.choice((1, 1, 1, 2, 5))) % len(words)
    return " ".join(picked).capitalize() + "."
