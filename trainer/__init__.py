"""The trainer: Falcon2 over token files, in stages, in any layout of processes.

Its modules, in an order in which they can be read:

what is asked for    config (the recipe), layout, watch; launch
the model            model, attention, loss, parallel, optim, build
its sequences        data (steps, and their batches), loader, ahead (a hash of those to come), held_out
training             loop, transitions; session (begun, gone on with, taken back); run (in its folder)
what may come        signals, lock, heartbeat, errors
what is kept         checkpoint, saving, checksums, record, changes, consumed
what is seen         monitoring/; trace
other programs       weights, hf, hf_config, hf_import, card, draft; evaluate, suite, results
beforehand           plan/
"""
