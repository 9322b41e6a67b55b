"""Documents that share n-grams of words with evaluation sets.

Its modules, in an order in which they can be read: decontaminate (what happens to a document), evaluation_sets (what is
looked for), plain_words, ngrams (how it is compared), hits (what was found, on disk).
"""
