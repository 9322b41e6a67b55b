"""Byte-level BPE, several times faster than Hugging Face's library, for tokenizers whose ids it is proven to give.

Its modules, in an order in which they can be read: tokenizer_layout (what a tokenizer.json says), byte_level (the
engine), byte_pairs (its kernels), code_points (how the library sorts characters); equality (the proof), verdict (as it
is kept).
"""
