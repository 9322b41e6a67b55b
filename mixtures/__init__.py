"""From documents to training sequences: sources, token files, the recipe of a mixture and its schedule.

Its modules, in an order in which they can be read:

the recipe         spec, components, log, proportion; strict (how recipes are read)
its order          schedule, interleave (components), permute (windows)
its sequences      stream, supply, run, windows, assemble; roots, remote, file_cache (where the files lie)
token files        tokens, document_index, columns, catalogue
making them        documents, tokenization, shards
tokenizers         tokenizer; fast_bpe/ (several times faster, and the proof that the ids are the same)
plans              planning, plans, selection, best_fit (what training looks up); holdings, demand, plan,
                   plan_warnings, plan_charts, plan_page, estimate
lineage            trace, certificate
decontamination    decontamination/
beside these       files, compiled, errors
corpora            sources/
"""
